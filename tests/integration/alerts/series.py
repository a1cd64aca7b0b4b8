"""Series as promtool's unit tests write them, of a fleet in which nothing is wrong, and what a test changes of it. Pure.

A value is promtool's notation, one sample a minute: ``100x300`` stays, ``0+5x300`` grows by five a minute.
"""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

FLEET = 'namespace="mail",name="main"'
OPERATOR = 'namespace="warmup-system",pod="warmup-fleet-x"'


def of_worker(number: int) -> str:
    """The labels that a ServiceMonitor gives a worker's series."""
    return f'namespace="mail",app_kubernetes_io_instance="main",pod="main-{number}"'


def healthy(replicas: int) -> dict[str, str]:
    """A fleet of so many workers at noon: 3,000 mails due, 100 a minute, eight hours left of which it needs half."""
    fleet = {
        "looked_at_seconds": "0+60x300",
        "mails_due": "30000x300",
        "mails_sent": "3000+100x300",
        "mails_behind": "10x300",
        "mails_scheduled": "20000-60x300",
        "mails_deferred": "0x300",
        "sending_seconds_left": "28800-60x300",
        "sizing_mails_demanded": "30000x300",
        "sizing_mails_per_worker": f"{-(-36000 // replicas)}x300",
        "workers_wanted": f"{replicas}x300",
        "workers_live": f"{replicas}x300",
        "attainment_yesterday_ratio": "0.9998x300",
        "mailboxes_unowned": "0x300",
        "mailboxes_owned_twice": "0x300",
        "database_connections": f"{3 * replicas + 1}x300",
        "database_connections_budget": "150x300",
        "database_rows_without_partition": "0x300",
    }
    found = {f"warmup_fleet_{name}{{{FLEET}}}": values for name, values in fleet.items()}
    found[ready("Running")] = "1x300"
    for condition in ("Degraded", "Resizing", "Paused"):
        found[holds(condition)] = "0x300"
    found[f"warmup_operator_fleets{{{OPERATOR}}}"] = "1x300"
    found[f"warmup_operator_reconcile_seconds_count{{{OPERATOR}}}"] = "0+2x300"
    found[f'warmup_operator_reconcile_errors_total{{{OPERATOR},reason="Timeout"}}'] = "1x300"
    for number in range(1, replicas + 1):
        found |= mails(number, sent=1000, failed=20, in_doubt=1)
        found[swept(number)] = "0x300"
        found |= refreshes(number, refreshed=10, grant_refused=0)
    return found


def ready(reason: str) -> str:
    """The series of a fleet's condition Ready."""
    return f'warmup_fleet_ready{{{FLEET},reason="{reason}"}}'


def holds(condition: str) -> str:
    """The series of one condition."""
    return f'warmup_fleet_condition{{{FLEET},condition="{condition}"}}'


def fleet(name: str) -> str:
    """One series of the fleet."""
    return f"warmup_fleet_{name}{{{FLEET}}}"


def told_by(pod: str, name: str) -> str:
    """The same as one of the operator's pods tells it."""
    return f'warmup_fleet_{name}{{{FLEET},pod="{pod}"}}'


def mails(number: int, **a_minute: int) -> dict[str, str]:
    """A worker's mails by final state, all of them through mail hosts that no provider is known of."""
    return {
        f'warmup_worker_mails_total{{{of_worker(number)},state="{state}"}}': f"0+{count}x300"
        for state, count in a_minute.items()
    } | through(number, "other", **a_minute)


def swept(number: int) -> str:
    """The series of the dead workers' mails that a worker put in doubt."""
    return f"warmup_worker_swept_total{{{of_worker(number)}}}"


def through(number: int, provider: str, **a_minute: int) -> dict[str, str]:
    """A worker's mails through one provider, by final state."""
    return {
        f'warmup_worker_provider_mails_total{{{of_worker(number)},provider="{provider}",state="{state}"}}': f"0+{count}x300"
        for state, count in a_minute.items()
    }


def refreshes(number: int, **a_minute: int) -> dict[str, str]:
    """A worker's refreshes of tokens by outcome."""
    return {
        f'warmup_worker_token_refreshes_total{{{of_worker(number)},outcome="{outcome}"}}': f"0+{count}x300"
        for outcome, count in a_minute.items()
    }


def unit_test(rules: str, series: Mapping[str, str], at: str, expected: Mapping[str, int]) -> Json:
    """A promtool test: how many alerts of each name fire at ``at``, all others being silent."""
    return {
        "rule_files": [rules],
        "evaluation_interval": "5m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": it, "values": values} for it, values in series.items() if values],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                        "eval_time": at,
                        "exp_samples": [
                            {"labels": f'{{alertname="{name}"}}', "value": count}
                            for name, count in expected.items()
                        ],
                    }
                ],
            }
        ],
    }
