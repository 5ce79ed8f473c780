"""Which process, systemd unit, container and pod of this host owns a connection."""
