"""The Grafana dashboards as Python: what they show, for whom, and where each link leads."""
