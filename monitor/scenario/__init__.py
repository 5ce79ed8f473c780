"""The incident that this monitor exists for, rebuilt packet by packet with scapy.

Imported only by ``egress-monitor demo`` and by tests: scapy costs half a second at start.
"""
