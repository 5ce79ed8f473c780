//! What a flow speaks: the closed set that every recogniser gives members of.

use crate::closed_set::closed_set;

closed_set! {
    /// What is spoken, by content and not by port; the first that is recognised in a flow stands.
    Application {
        /// Not told by its first packets.
        Unknown = "unknown",
        /// TLS over TCP (RFC 8446).
        Tls = "tls",
        /// QUIC (RFC 9000).
        Quic = "quic",
        /// HTTP, version 1 or 2 (RFC 9110).
        Http = "http",
        /// DNS (RFC 1035).
        Dns = "dns",
        /// Secure shell (RFC 4253).
        Ssh = "ssh",
        /// DTLS (RFC 9147).
        Dtls = "dtls",
        /// PostgreSQL, protocol version 3.
        Postgresql = "postgresql",
        /// MySQL and MariaDB.
        Mysql = "mysql",
        /// Microsoft SQL Server (MS-TDS).
        Mssql = "mssql",
        /// MongoDB wire protocol.
        Mongodb = "mongodb",
        /// Redis (RESP).
        Redis = "redis",
        /// Cassandra native protocol (CQL).
        Cassandra = "cassandra",
        /// Memcached.
        Memcached = "memcached",
        /// Elasticsearch over HTTP, where a response names it.
        Elasticsearch = "elasticsearch",
        /// Kafka.
        Kafka = "kafka",
        /// AMQP 0-9-1 and 1.0.
        Amqp = "amqp",
        /// MQTT.
        Mqtt = "mqtt",
        /// SMB, versions 1 to 3.
        Smb = "smb",
        /// FTP control connection (RFC 959).
        Ftp = "ftp",
        /// SMTP (RFC 5321).
        Smtp = "smtp",
        /// IMAP (RFC 9051).
        Imap = "imap",
        /// POP3 (RFC 1939).
        Pop3 = "pop3",
        /// LDAP (RFC 4511).
        Ldap = "ldap",
        /// Remote desktop (MS-RDPBCGR).
        Rdp = "rdp",
        /// SOCKS, versions 4 and 5 (RFC 1928).
        Socks = "socks",
        /// BitTorrent: peers, trackers over UDP, uTP and DHT.
        Bittorrent = "bittorrent",
        /// WireGuard.
        Wireguard = "wireguard",
        /// OpenVPN.
        Openvpn = "openvpn",
        /// ICMP and ICMPv6 (RFC 792, RFC 4443).
        Icmp = "icmp",
        /// NTP (RFC 5905).
        Ntp = "ntp",
        /// STUN (RFC 8489).
        Stun = "stun",
        /// SNMP (RFC 3416).
        Snmp = "snmp",
        /// SIP (RFC 3261).
        Sip = "sip",
    }
}
