//! Which worker a live frame goes to (PACKET_FANOUT_CBPF, packet(7)).
//!
//! The number is made of the sum of the two innermost addresses, so it is the same for both directions,
//! for all fragments of a datagram, and inside and outside of the tunnels known here: one level of IP in
//! IP, GRE, VXLAN and Geneve over IPv4. Classic BPF has no loops, so what is nested deeper, behind IPv6
//! extension headers or in other tunnels goes by the addresses found up to there; a flow is then still
//! with one worker as long as it always comes the same way. The fragments of a tunnel's own packets go by
//! the tunnel's addresses.

use super::bpf::{Assembler, Label, Program, When};
use super::SourceError;
use crate::decode::protocol;

/// Loads from here on are relative to the network header (`SKF_NET_OFF`): the kernel runs this program
/// with the link header for frames that leave and without it for frames that arrive.
const NET: u32 = -0x10_0000_i32 as u32;
/// The frame's Ethernet type, VLAN tag taken off (`SKF_AD_OFF + SKF_AD_PROTOCOL`).
const ETHERTYPE: u32 = -0x1000_i32 as u32;

const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
const VLAN: u32 = 0x8100;
const TRANSPARENT_ETHERNET: u32 = 0x6558;
const IP_IN_IP: u32 = 4;
const IPV6_IN_IP: u32 = 41;
const GRE: u32 = 47;
/// RFC 7348 section 8, and the port that Linux took before it.
const VXLAN_PORTS: [u32; 2] = [4789, 8472];
/// RFC 8926 section 3.3.
const GENEVE_PORT: u32 = 6081;
/// Knuth, volume 3, section 6.4: spreads sums that lie close together.
const GOLDEN: u32 = 0x9e37_79b1;

/// Words of memory.
const HERE: u32 = 0;
const SUM: u32 = 1;
const FLAGS: u32 = 2;

/// The program. X is the place of the IP header that is looked at, relative to the network header.
///
/// # Errors
/// None in practice: the program is fixed.
pub fn program() -> Result<Program, SourceError> {
    let mut to = Assembler::default();
    let (v4, v6, inner4, inner6, outer) = (to.label(), to.label(), to.label(), to.label(), to.label());
    to.set_x(0);
    to.load32(ETHERTYPE);
    to.jump_if(When::Equal, IPV4, v4);
    to.jump_if(When::Equal, IPV6, v6);
    // a tag that the kernel left in: the type stands two bytes behind it
    let tagged = to.label();
    to.jump_if(When::Equal, VLAN, tagged);
    to.give(0);
    to.place(tagged);
    to.set_x(4);
    to.load16(NET + 2);
    to.jump_if(When::Equal, IPV4, v4);
    to.jump_if(When::Equal, IPV6, v6);
    to.give(0);

    to.place(v4);
    to.load16_x(NET + 6);
    to.jump_if(When::AnyBit, 0x3fff, inner4); // a fragment: by its own addresses
    let tunnelled = Tunnels { inner4, inner6, outer };
    tunnelled.of_ipv4(&mut to);

    // nothing further inside: X is still the outer header's place, or is so again
    to.place(outer);
    to.recall_x(HERE);
    to.place(inner4);
    sum(&mut to, 12, 2);
    give(&mut to);
    to.place(v6);
    to.place(inner6);
    sum(&mut to, 8, 8);
    give(&mut to);
    to.finish()
}

/// Where to go on.
struct Tunnels {
    inner4: Label,
    inner6: Label,
    outer: Label,
}

impl Tunnels {
    /// Look into the IPv4 packet at X.
    fn of_ipv4(&self, to: &mut Assembler) {
        let (ip_in_ip, six_in_four, gre, udp) = (to.label(), to.label(), to.label(), to.label());
        to.x_to_a();
        to.keep(HERE);
        to.load8_x(NET + 9);
        to.jump_if(When::Equal, IP_IN_IP, ip_in_ip);
        to.jump_if(When::Equal, IPV6_IN_IP, six_in_four);
        to.jump_if(When::Equal, GRE, gre);
        to.jump_if(When::Equal, u32::from(protocol::UDP), udp);
        to.jump(self.outer);

        to.place(ip_in_ip);
        pass_ipv4(to);
        to.jump(self.inner4);
        to.place(six_in_four);
        pass_ipv4(to);
        to.jump(self.inner6);

        to.place(gre);
        self.of_gre(to);

        to.place(udp);
        let (vxlan, geneve) = (to.label(), to.label());
        pass_ipv4(to);
        to.load16_x(NET + 2);
        for port in VXLAN_PORTS {
            to.jump_if(When::Equal, port, vxlan);
        }
        to.jump_if(When::Equal, GENEVE_PORT, geneve);
        to.jump(self.outer);
        to.place(vxlan);
        pass(to, 16);
        self.of_ethernet(to);
        to.place(geneve);
        // RFC 8926 section 3.4: the length of the options in words
        to.load8_x(NET + 8);
        to.and(0x3f);
        to.shift_left(2);
        to.add(16);
        to.add_x();
        to.a_to_x();
        self.of_ethernet(to);
    }

    /// RFC 2784 section 2, RFC 2890 section 2: checksum, key and sequence number, four bytes each.
    fn of_gre(&self, to: &mut Assembler) {
        pass_ipv4(to);
        to.load16_x(NET + 2);
        to.keep(SUM);
        to.load8_x(NET);
        to.keep(FLAGS);
        // bits 0, 2 and 3 say which are there
        for bit in [0x80, 0x20, 0x10] {
            let (there, next) = (to.label(), to.label());
            to.recall(FLAGS);
            to.jump_if(When::AnyBit, bit, there);
            to.jump(next);
            to.place(there);
            pass(to, 4);
            to.place(next);
        }
        pass(to, 4);
        let ethernet = to.label();
        to.recall(SUM);
        to.jump_if(When::Equal, IPV4, self.inner4);
        to.jump_if(When::Equal, IPV6, self.inner6);
        to.jump_if(When::Equal, TRANSPARENT_ETHERNET, ethernet);
        to.jump(self.outer);
        to.place(ethernet);
        self.of_ethernet(to);
    }

    /// An inner Ethernet header at X.
    fn of_ethernet(&self, to: &mut Assembler) {
        to.load16_x(NET + 12);
        to.keep(SUM);
        pass(to, 14);
        to.recall(SUM);
        to.jump_if(When::Equal, IPV4, self.inner4);
        to.jump_if(When::Equal, IPV6, self.inner6);
        to.jump(self.outer);
    }
}

/// Move X by a number.
fn pass(to: &mut Assembler, number: u32) {
    to.x_to_a();
    to.add(number);
    to.a_to_x();
}

/// Move X behind the IPv4 header that it stands at.
fn pass_ipv4(to: &mut Assembler) {
    to.load8_x(NET);
    to.and(0x0f);
    to.shift_left(2);
    to.add_x();
    to.a_to_x();
}

/// Sum the words of both addresses, from `at` behind X on.
fn sum(to: &mut Assembler, at: u32, words: u32) {
    // X is needed for the loads, so the sum goes through memory
    to.x_to_a();
    to.keep(HERE);
    to.load32_x(NET + at);
    to.keep(SUM);
    for word in 1..words {
        to.load32_x(NET + at + 4 * word);
        to.recall_x(SUM);
        to.add_x();
        to.keep(SUM);
        to.recall_x(HERE);
    }
    to.recall(SUM);
}

/// Spread the sum; the kernel takes it modulo the number of workers.
fn give(to: &mut Assembler) {
    to.multiply(GOLDEN);
    to.shift_right(16);
    to.give_a();
}
