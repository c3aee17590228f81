"""Routes of the dashboard."""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route

from dashboard.web import (
    account,
    alerts,
    audit_log,
    chart_csv,
    consent_coverage,
    data_deletion,
    details,
    entry,
    funnels,
    funnels_form,
    goals,
    imports,
    install,
    journeys,
    login,
    members,
    openid,
    passkey_sign_in,
    passkeys,
    realtime,
    report,
    report_subscriptions,
    retention,
    segments,
    share_links,
    shared_dashboard,
    site_list,
    site_settings,
    two_factor,
)
from dashboard.web import annotations as annotation_views
from dashboard.web.app_context import Dashboard, View, signed_in
from dashboard.web.language import choose_language

COMPRESSED = [Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=6)]


def routes(dashboard: Dashboard) -> list[Route]:
    """Every route of the dashboard. `/{domain}` matches any first segment, so these come last."""

    def page(path: str, view: View, *methods: str) -> Route:
        return Route(path, signed_in(dashboard, view), methods=methods or ("GET",), middleware=COMPRESSED)

    def figures(path: str, view: View) -> list[Route]:
        """A view that readers without an account may have too: at public sites, and below shared links."""
        return [
            Route(f"/share/{{token}}{path}", shared_dashboard.share_link_view(dashboard, view), middleware=COMPRESSED),
            Route(f"/{{domain}}{path}", shared_dashboard.public_or_signed_in(dashboard, view), middleware=COMPRESSED),
        ]

    return [
        Route("/static/{digest}/{name:path}", dashboard.pages.assets.serve),
        *login.routes(dashboard, COMPRESSED),
        *openid.routes(dashboard, COMPRESSED),
        *passkey_sign_in.routes(dashboard, COMPRESSED),
        Route("/language", choose_language, methods=["POST"]),
        page("/", site_list.list_sites, "GET", "POST"),
        page("/account", account.account, "GET", "POST"),
        page("/account/two-factor", two_factor.two_factor, "GET", "POST"),
        page("/account/passkeys", passkeys.passkeys, "GET", "POST"),
        page("/users", members.users, "GET", "POST"),
        page("/changes", audit_log.all_changes),
        page("/alerts", alerts.installation_alerts, "GET", "POST"),
        *entry.routes(dashboard, COMPRESSED),
        Route("/unsubscribe/{token}", report_subscriptions.unsubscribe(dashboard), methods=["GET", "POST"]),
        page("/sites/new", site_settings.add_site, "GET", "POST"),
        Route("/share/{token}", shared_dashboard.unlock(dashboard), methods=["POST"]),
        *figures("", report.show_site),
        *figures("/details/{panel}.csv", details.export_details),
        *figures("/details/{panel}", details.show_details),
        *figures("/values", details.suggest_values),
        page("/{domain}/segments", segments.show_segments, "GET", "POST"),
        *figures("/funnels", funnels.show_funnels),
        page("/{domain}/funnels/edit", funnels_form.edit_funnel, "GET", "POST"),
        *figures("/funnels/{funnel}.csv", funnels.export_funnel),
        *figures("/funnels/{funnel}", funnels.show_funnel),
        page("/{domain}/goals", goals.show_goals, "GET", "POST"),
        *figures("/chart.csv", chart_csv.export_chart),
        *figures("/realtime", realtime.show_realtime),
        *figures("/realtime/stream", realtime.stream),
        *figures("/journeys", journeys.show_journeys),
        *figures("/journeys.csv", journeys.export_journey),
        *figures("/journeys/page", journeys.show_surroundings),
        *figures("/retention", retention.show_retention),
        page("/{domain}/notes", annotation_views.change_note, "POST"),
        page("/{domain}/sharing", share_links.show_sharing, "GET", "POST"),
        page("/{domain}/sharing/revoke", share_links.revoke_share, "POST"),
        page("/{domain}/consent", consent_coverage.show_consent),
        page("/{domain}/status", report.show_status),
        page("/{domain}/install", install.install),
        page("/{domain}/install/check", install.check, "POST"),
        page("/{domain}/settings", site_settings.change_site, "GET", "POST"),
        page("/{domain}/people", members.people, "GET", "POST"),
        page("/{domain}/changes", audit_log.site_changes),
        page("/{domain}/data", data_deletion.figures, "GET", "POST"),
        page("/{domain}/imports", imports.show_imports, "GET", "POST"),
        page("/{domain}/alerts", alerts.site_alerts, "GET", "POST"),
        page("/{domain}/reports", report_subscriptions.show_subscriptions, "GET", "POST"),
        page("/{domain}/delete", data_deletion.delete_site, "POST"),
    ]
