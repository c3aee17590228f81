"""`tyst mail`: whether mail can be sent."""

from __future__ import annotations

from typing import Annotated

import typer

from dashboard.cli.commands.output import Json, print_result
from dashboard.cli.http_client import DELIVERY_SECONDS, connect

app = typer.Typer(no_args_is_help=True, help="The mail server of TYST_SMTP_HOST.")


@app.callback()
def _group() -> None:
    pass


@app.command("test")
def send_test(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Where to send it.", show_default=False)],
    json: Json = False,
) -> None:
    """Send one mail, and say what to do where the mail server does not take it."""
    with connect(timeout=DELIVERY_SECONDS) as client:
        answer = client.post("mail", "test", body={"to": address})
    print_result(
        answer,
        "The mail server has taken the mail. Where it does not arrive, look into its log and the junk folder.",
        json=json,
    )
