"""The last stage: flows, alerts and counters become metrics, alert events and pages."""
