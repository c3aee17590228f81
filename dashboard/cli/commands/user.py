"""`tyst user`: manage the accounts of the dashboard."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import typer

from dashboard.cli.commands.output import Json, print_json, print_result, print_table, say
from dashboard.cli.http_client import Client, Refused, connect

app = typer.Typer(no_args_is_help=True, help="Who may sign in to the dashboard.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name to sign in with.", show_default=False)]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", metavar="", help="Read the password from standard input instead of asking.")
]


@app.command()
def add(
    name: Name,
    role: Annotated[
        Literal["admin", "owner", "viewer"],
        typer.Option(metavar="ROLE", help="admin: everything. owner: changes its sites. viewer: looks at its sites."),
    ] = "viewer",
    sites: Annotated[
        list[str] | None,
        typer.Option(
            "--site",
            metavar="DOMAIN",
            help="A site that an owner or viewer sees. Give it again for more.",
            show_default=False,
        ),
    ] = None,
    roles: Annotated[
        list[str] | None,
        typer.Option(
            "--role-on",
            metavar="DOMAIN=ROLE",
            help="What they are to one site, owner or viewer, whatever the account is. Give it again for more.",
            show_default=False,
        ),
    ] = None,
    password_stdin: PasswordStdin = False,
    json: Json = False,
) -> None:
    """Create a user account. Without a terminal, a password is generated and printed once."""
    with connect() as client:
        password, generated = _password(password_stdin)
        by_site = {site: given for site, _, given in (pair.partition("=") for pair in roles or [])}
        body = {"name": name, "role": role, "sites": sites or [], "roles": by_site, "password": password}
        user = client.post("users", body=body)
    _tell(user, f"{name} can sign in as {role}.", password if generated else None, json=json)


@app.command("list")
def list_(json: Json = False) -> None:
    """Everybody who may sign in."""
    with connect() as client:
        users = client.get("users")["users"]
    if json:
        print_json(users)
        return
    rows = [[user["name"], user["role"], _sites_of(user), "on" if user["two_factor"] else ""] for user in users]
    print_table(["Name", "Role", "Sites", "Two-factor"], rows, empty="No users yet. Add one with: tyst user add NAME")


@app.command()
def remove(name: Name, json: Json = False) -> None:
    """Delete a user account and its sessions."""
    with connect() as client, _known_user(client):
        answer = client.delete("users", name)
    print_result(answer, f"{name} can no longer sign in.", json=json)


@app.command()
def passwd(name: Name, password_stdin: PasswordStdin = False, json: Json = False) -> None:
    """Set a new password; browsers that are signed in with the old one are signed out."""
    with connect() as client:
        password, generated = _password(password_stdin)
        with _known_user(client):
            user = client.put("users", name, body={"password": password})
    _tell(user, f"{name} has a new password.", password if generated else None, json=json)


@app.command("reset-two-factor")
def reset_two_factor(name: Name, json: Json = False) -> None:
    """Turn off two-factor authentication, and remove passkeys, of somebody who has lost phone and recovery codes."""
    with connect() as client, _known_user(client):
        answer = client.delete("users", name, "two-factor")
    if json:
        print_json(answer)
        return
    none = f"{name} has neither two-factor authentication nor a passkey."
    say(f"{name} signs in with the password alone." if answer["deleted"] else none)


@app.command("sign-out")
def sign_out(name: Name, json: Json = False) -> None:
    """End every session of somebody; they can sign in again."""
    with connect() as client, _known_user(client):
        answer = client.delete("users", name, "sessions")
    print_result(answer, f"{name} is signed out everywhere.", json=json)


def _password(from_stdin: bool) -> tuple[str, bool]:
    """A password, and whether it was generated."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n"), False
    if sys.stdin.isatty():
        typed: str = typer.prompt(
            "Password (Enter generates one)", hide_input=True, default="", show_default=False, err=True
        )
        if typed:
            again: str = typer.prompt("The same again", hide_input=True, err=True)
            if typed != again:
                raise typer.BadParameter("the two passwords differ")
            return typed, False
    return secrets.token_urlsafe(12), True


def _tell(user: dict[str, Any], done: str, generated: str | None, *, json: bool) -> None:
    if json:
        print_json({**user, **({"password": generated} if generated else {})})
        return
    say(done)
    if generated:
        say(f"Password (shown this once): {generated}")


@contextmanager
def _known_user(client: Client) -> Iterator[None]:
    """Where there is no such user, the refusal of what is asked for within says which there are."""
    try:
        yield
    except Refused as error:
        if error.status != 404:
            raise
        names = ", ".join(user["name"] for user in client.get("users")["users"])
        raise Refused(error.status, "user", f"{error.reason}. There are: {names}") from None


def _sites_of(user: dict[str, Any]) -> str:
    if user["role"] == "admin":
        return "all"
    own = [site for site in user["sites"] if site not in user["roles"]]
    return ", ".join([*own, *(f"{site} ({role})" for site, role in user["roles"].items())]) or "none"
