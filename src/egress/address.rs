//! What an IP address is to us. Pure: the lists of special networks and nothing else.
//! Sources: the IANA special-purpose address registries (RFC 6890 and its updates) and the metadata addresses
//! that cloud providers document.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The verdict on one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Address {
    /// In a network that the operator allowed.
    Allowed,
    /// Globally reachable.
    Public,
    /// Made by an IPv6 transition mechanism (NAT64, 6to4, Teredo): it stands for another address.
    Translated,
    /// Loopback, private, link-local, multicast, metadata or reserved.
    Reserved,
}

/// Judges `ip`. An IPv4 address mapped into IPv6 is judged as the IPv4 address that it is on the wire.
pub(super) fn judge(ip: IpAddr, allow: &[IpNet]) -> Address {
    let ip = ip.to_canonical();
    let opens =
        |net: &&IpNet| net.contains(&ip) && (net.prefix_len() == net.max_prefix_len() || !is_metadata(ip));
    if allow.iter().any(|net| opens(&net)) {
        return Address::Allowed;
    }
    match ip {
        IpAddr::V4(v4) if V4_RESERVED.iter().any(|net| net.contains(&v4)) => Address::Reserved,
        IpAddr::V4(_) => Address::Public,
        IpAddr::V6(v6) => judge_v6(v6),
    }
}

/// IPv6 is refused unless it lies in the one block that is handed out for global use.
fn judge_v6(ip: Ipv6Addr) -> Address {
    let within = |nets: &[Ipv6Net]| nets.iter().any(|net| net.contains(&ip));
    if within(&V6_TRANSLATED) {
        Address::Translated
    } else if V6_GLOBAL.contains(&ip) && !within(&V6_RESERVED) {
        Address::Public
    } else {
        Address::Reserved
    }
}

/// Whether a cloud's metadata service answers here. It hands out the machine's credentials, so a wide
/// allowed network must not open it by accident.
fn is_metadata(ip: IpAddr) -> bool {
    METADATA.contains(&ip)
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, d: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

const V4_RESERVED: [Ipv4Net; 20] = [
    v4(0, 0, 0, 0, 8),          // this network; 0.0.0.0 reaches this machine
    v4(10, 0, 0, 0, 8),         // private
    v4(100, 64, 0, 0, 10),      // shared by carriers; also cloud-internal services
    v4(127, 0, 0, 0, 8),        // loopback
    v4(168, 63, 129, 16, 32),   // Azure's host service
    v4(169, 254, 0, 0, 16),     // link-local, with most metadata services
    v4(172, 16, 0, 0, 12),      // private
    v4(192, 0, 0, 0, 24),       // protocol assignments
    v4(192, 0, 2, 0, 24),       // documentation
    v4(192, 31, 196, 0, 24),    // AS112
    v4(192, 52, 193, 0, 24),    // AMT
    v4(192, 88, 99, 0, 24),     // 6to4 relays
    v4(192, 168, 0, 0, 16),     // private
    v4(192, 175, 48, 0, 24),    // AS112
    v4(198, 18, 0, 0, 15),      // benchmarks
    v4(198, 51, 100, 0, 24),    // documentation
    v4(203, 0, 113, 0, 24),     // documentation
    v4(224, 0, 0, 0, 4),        // multicast
    v4(240, 0, 0, 0, 4),        // reserved
    v4(255, 255, 255, 255, 32), // broadcast
];

const V6_GLOBAL: Ipv6Net = v6(0x2000, 0, 0, 0, 3);

const V6_RESERVED: [Ipv6Net; 4] = [
    v6(0x2001, 0, 0, 0, 23),           // protocol assignments: ORCHID, benchmarks, AMT
    v6(0x2001, 0x0db8, 0, 0, 32),      // documentation
    v6(0x2620, 0x004f, 0x8000, 0, 48), // AS112
    v6(0x3fff, 0, 0, 0, 20),           // documentation
];

const V6_TRANSLATED: [Ipv6Net; 4] = [
    v6(0x0064, 0xff9b, 0, 0, 96),      // NAT64
    v6(0x0064, 0xff9b, 0x0001, 0, 48), // NAT64, local use
    v6(0x2001, 0, 0, 0, 32),           // Teredo
    v6(0x2002, 0, 0, 0, 16),           // 6to4
];

const METADATA: [IpAddr; 9] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), // most clouds
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),   // AWS ECS
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),  // AWS EKS
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), // Alibaba
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),     // Oracle
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),   // Azure
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)), // AWS
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0023)), // AWS EKS
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)), // Google
];

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn judged(ip: &str, allow: &[&str]) -> Address {
        let allow: Vec<IpNet> = allow.iter().map(|net| net.parse().unwrap()).collect();
        judge(ip.parse().unwrap(), &allow)
    }

    /// First and last address of each network, and the neighbours outside it.
    #[rstest]
    #[case("0.0.0.0", "0.255.255.255", None, Some("1.0.0.0"))]
    #[case("10.0.0.0", "10.255.255.255", Some("9.255.255.255"), Some("11.0.0.0"))]
    #[case("100.64.0.0", "100.127.255.255", Some("100.63.255.255"), Some("100.128.0.0"))]
    #[case("127.0.0.0", "127.255.255.255", Some("126.255.255.255"), Some("128.0.0.0"))]
    #[case("168.63.129.16", "168.63.129.16", Some("168.63.129.15"), Some("168.63.129.17"))]
    #[case("169.254.0.0", "169.254.255.255", Some("169.253.255.255"), Some("169.255.0.0"))]
    #[case("172.16.0.0", "172.31.255.255", Some("172.15.255.255"), Some("172.32.0.0"))]
    #[case("192.0.0.0", "192.0.0.255", Some("191.255.255.255"), Some("192.0.1.0"))]
    #[case("192.0.2.0", "192.0.2.255", Some("192.0.1.255"), Some("192.0.3.0"))]
    #[case("192.31.196.0", "192.31.196.255", Some("192.31.195.255"), Some("192.31.197.0"))]
    #[case("192.52.193.0", "192.52.193.255", Some("192.52.192.255"), Some("192.52.194.0"))]
    #[case("192.88.99.0", "192.88.99.255", Some("192.88.98.255"), Some("192.88.100.0"))]
    #[case("192.168.0.0", "192.168.255.255", Some("192.167.255.255"), Some("192.169.0.0"))]
    #[case("192.175.48.0", "192.175.48.255", Some("192.175.47.255"), Some("192.175.49.0"))]
    #[case("198.18.0.0", "198.19.255.255", Some("198.17.255.255"), Some("198.20.0.0"))]
    #[case("198.51.100.0", "198.51.100.255", Some("198.51.99.255"), Some("198.51.101.0"))]
    #[case("203.0.113.0", "203.0.113.255", Some("203.0.112.255"), Some("203.0.114.0"))]
    #[case("224.0.0.0", "255.255.255.255", Some("223.255.255.255"), None)]
    #[case("2001:100::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", None, Some("2001:200::"))]
    #[case("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Some("2001:db7::1"), Some("2001:db9::"))]
    #[case(
        "2620:4f:8000::",
        "2620:4f:8000:ffff:ffff:ffff:ffff:ffff",
        Some("2620:4f:7fff::1"),
        Some("2620:4f:8001::")
    )]
    #[case("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Some("3ffe:ffff::1"), Some("3fff:1000::"))]
    #[case("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("3fff:ffff::1"), None)]
    #[case("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, Some("2000::"))]
    fn networks_have_exact_edges(
        #[case] first: &str,
        #[case] last: &str,
        #[case] before: Option<&str>,
        #[case] after: Option<&str>,
    ) {
        for inside in [first, last] {
            assert_eq!(judged(inside, &[]), Address::Reserved, "{inside}");
        }
        for outside in before.into_iter().chain(after) {
            assert_eq!(judged(outside, &[]), Address::Public, "{outside}");
        }
    }

    #[test]
    fn an_ipv4_address_stays_itself_inside_ipv6() {
        assert_eq!(judged("::ffff:10.0.0.1", &[]), Address::Reserved);
        assert_eq!(judged("::ffff:8.8.8.8", &[]), Address::Public);
        assert_eq!(judged("::ffff:127.0.0.1", &["127.0.0.0/8"]), Address::Allowed);
        assert_eq!(judged("::127.0.0.1", &["127.0.0.0/8"]), Address::Reserved);
    }

    #[test]
    fn transition_addresses_are_told_apart() {
        for ip in ["64:ff9b::8.8.8.8", "64:ff9b:1::1", "2001::1", "2002:7f00:1::"] {
            assert_eq!(judged(ip, &[]), Address::Translated, "{ip}");
        }
    }

    #[test]
    fn a_wide_network_does_not_open_a_metadata_service() {
        let wide = ["0.0.0.0/0", "::/0", "169.254.0.0/16", "169.254.169.254/31"];
        for ip in METADATA {
            assert_eq!(judged(&ip.to_string(), &wide), Address::Reserved, "{ip}");
        }
        assert_eq!(judged("169.254.1.1", &wide), Address::Allowed);
        assert_eq!(judged("169.254.169.254", &["169.254.169.254/32"]), Address::Allowed);
        assert_eq!(judged("::ffff:169.254.169.254", &wide), Address::Reserved);
    }
}
