"""Configuration to start with: scraping, alert routing, and provisioning of Grafana.

Sources: https://prometheus.io/docs/prometheus/latest/configuration/configuration/,
https://prometheus.io/docs/alerting/latest/configuration/ and
https://grafana.com/docs/grafana/latest/administration/provisioning/
"""

from __future__ import annotations

from typing import Final

from idlrt.observe.dashboards.objectives import Objectives
from idlrt.observe.dashboards.yaml_text import yaml_text

__all__ = ["alertmanager_example", "dashboard_provider", "datasource_example", "scrape_example"]

_FOLDER: Final = "/var/lib/grafana/dashboards/idlrt"


def scrape_example() -> str:
    """Return a configuration of Prometheus."""
    config = {
        "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
        "rule_files": ["rules/idlrt-*.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["127.0.0.1:9093"]}]}]},
        "scrape_configs": [
            {
                "job_name": "users",
                "static_configs": [{"targets": ["127.0.0.1:9901"]}],
            }
        ],
    }
    return yaml_text(
        config,
        "Example of a configuration of Prometheus. Replace the targets: addresses of the admin ports of the servers.\n"
        "Set job_name to the name of the program; dashboards and alerts group by it.",
    )


def alertmanager_example(objectives: Objectives) -> str:
    """Return a configuration of Alertmanager.

    Args:
        objectives: severities of the alerts.
    """
    page, ticket = objectives.severity("page"), objectives.severity("ticket")
    routes = [{"matchers": [f'severity="{_escaped(page)}"'], "receiver": "page", "repeat_interval": "1h"}]
    inhibitions: list[dict[str, object]] = [
        {
            "source_matchers": ["alertname=RpcJobDown"],
            "target_matchers": ["alertname=RpcInstanceDown"],
            "equal": ["job"],
        }
    ]
    if page != ticket:
        inhibitions.append(
            {
                "source_matchers": [f'severity="{_escaped(page)}"'],
                "target_matchers": [f'severity="{_escaped(ticket)}"', 'alertname=~"Rpc.*BudgetBurn"'],
                "equal": ["alertname", "job", "rpc_service"],
            }
        )
    config = {
        "route": {
            "receiver": "ticket",
            "group_by": ["alertname", "job"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "1d",
            "routes": routes,
        },
        "receivers": [
            {"name": "page", "webhook_configs": [{"url": "http://127.0.0.1:9095/page", "send_resolved": True}]},
            {"name": "ticket", "webhook_configs": [{"url": "http://127.0.0.1:9095/ticket", "send_resolved": True}]},
        ],
        "inhibit_rules": inhibitions,
    }
    return yaml_text(config, "Example of a configuration of Alertmanager. Replace the receivers.")


def datasource_example() -> str:
    """Return the provisioning of the data source."""
    source = {
        "name": "Prometheus",
        "uid": "prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": "http://127.0.0.1:9090",
        "isDefault": True,
        "jsonData": {"timeInterval": "15s", "httpMethod": "POST"},
    }
    return yaml_text(
        {"apiVersion": 1, "datasources": [source]},
        "Data source of Grafana; goes into provisioning/datasources. timeInterval must be the scrape interval.",
    )


def dashboard_provider() -> str:
    """Return the provisioning of the dashboards."""
    provider = {
        "name": "idlrt",
        "orgId": 1,
        "folder": "idlrt",
        "type": "file",
        "disableDeletion": False,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 30,
        "options": {"path": _FOLDER},
    }
    return yaml_text(
        {"apiVersion": 1, "providers": [provider]},
        f"Dashboards of Grafana; goes into provisioning/dashboards. Copy the dashboards to {_FOLDER}.",
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
