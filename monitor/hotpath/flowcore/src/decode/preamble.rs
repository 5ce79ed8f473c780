//! Headers that stand before what a connection carries.

use super::Application;

/// Length of the header at the start of a segment, 0 where there is none: the PROXY protocol's (haproxy, versions 1 and 2)
/// that a load balancer puts in front, or that of a TDS packet that carries the TLS handshake (MS-TDS section 2.2.6.5).
pub(crate) fn length(application: Application, payload: &[u8]) -> usize {
    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    const V1_MAX: usize = 107;
    const TDS: usize = 8;
    if application == Application::Mssql && payload.first() == Some(&0x12) && payload.get(TDS) == Some(&22) {
        return TDS;
    }
    if payload.starts_with(b"PROXY ") {
        let line = payload.get(..payload.len().min(V1_MAX)).unwrap_or_default();
        return line.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    }
    match payload.get(14..16) {
        Some([high, low]) if payload.starts_with(V2) => 16 + usize::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    }
}
