"""A month of made traffic of a backend, with eight leaks among the normal work, for the shipped rules.

What is normal here is what real backends do and rules must bear: day and week, deploys, image pulls,
crawlers at the published shop, backups, package updates, logs to a service, mail, webhooks to anybody, time,
pings, scanners. Everything follows from the seed and the parameters.
"""
