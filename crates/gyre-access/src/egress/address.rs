//! Which addresses belong to the public Internet, after IANA's registries of special-purpose addresses (RFC 6890).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether `address` is globally reachable and nobody's special purpose. An IPv6 address that carries an IPv4 address
/// (mapped, NAT64) is judged by that one; tunnels (6to4, Teredo) are never public.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match carried(address) {
            Some(carried) => is_public_v4(carried),
            None => is_public_v6(address),
        },
    }
}

/// Whether `address` is link-local, or one of the addresses outside that range at which clouds serve metadata and
/// credentials to their machines.
pub fn is_link_local(address: IpAddr) -> bool {
    let v4 = match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(address) => match carried(address) {
            Some(carried) => carried,
            None => {
                let first = address.segments()[0];
                return first & 0xffc0 == 0xfe80
                    || address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
            }
        },
    };
    v4.is_link_local() || METADATA.contains(&v4)
}

/// Metadata services beside 169.254.0.0/16: Azure's, Alibaba's, Oracle's.
const METADATA: [Ipv4Addr; 3] =
    [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        (0 | 10 | 127 | 224.., _, _) => true,
        (100, 64..=127, _) | (169, 254, _) | (172, 16..=31, _) | (192, 168, _) | (198, 18 | 19, _) => true,
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 51, 100) | (203, 0, 113) => true,
        _ => METADATA.contains(&address),
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let unicast = (0x2000..0x4000).contains(&a);
    // Protocol assignments with Teredo, documentation (twice), 6to4.
    let special = (a == 0x2001 && (b < 0x200 || b == 0xdb8)) || a == 0x2002 || (a == 0x3fff && b < 0x1000);
    unicast && !special
}

/// The IPv4 address inside `::ffff:a.b.c.d`, `::a.b.c.d` and `64:ff9b::a.b.c.d`.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = address.segments();
    let prefix = [a, b, c, d, e, f];
    let carries = prefix == [0, 0, 0, 0, 0, 0xffff]
        || prefix == [0x64, 0xff9b, 0, 0, 0, 0]
        || (prefix == [0; 6] && (high, low) > (0, 1));
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    carries.then(|| Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipnet::IpNet;
    use proptest::prelude::*;

    /// IANA's registries, where "globally reachable" is not true, and multicast.
    const SPECIAL: [&str; 33] = [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "255.255.255.255/32",
        "168.63.129.16/32",
        "::/128",
        "::1/128",
        "::ffff:10.0.0.0/104",
        "::ffff:127.0.0.0/104",
        "64:ff9b::a9fe:0/112",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "ff00::/8",
        "::7f00:0/104",
    ];

    fn within(net: IpNet, seed: u128) -> IpAddr {
        match net {
            IpNet::V4(net) => {
                let host = (seed as u32) & u32::from(net.hostmask());
                Ipv4Addr::from(u32::from(net.network()) | host).into()
            }
            IpNet::V6(net) => {
                let host = seed & u128::from(net.hostmask());
                Ipv6Addr::from(u128::from(net.network()) | host).into()
            }
        }
    }

    proptest! {
        #[test]
        fn no_address_of_a_special_network_is_public(at in 0..SPECIAL.len(), seed: u128) {
            let address = within(SPECIAL[at].parse().unwrap(), seed);
            prop_assert!(!is_public(address), "{address} of {}", SPECIAL[at]);
        }

        #[test]
        fn the_rest_of_ipv4_is_public_in_each_of_its_spellings(bits: u32) {
            let address = Ipv4Addr::from(bits);
            let special = SPECIAL.iter().any(|net| net.parse::<IpNet>().unwrap().contains(&IpAddr::V4(address)));
            prop_assert_eq!(is_public(address.into()), !special);
            prop_assert_eq!(is_public(address.to_ipv6_mapped().into()), !special);
            let nat64 = Ipv6Addr::from((0x64_ff9b_u128 << 96) | u128::from(bits));
            prop_assert_eq!(is_public(nat64.into()), !special);
        }
    }

    #[test]
    fn known_addresses_are_where_they_belong() {
        for public in ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "2a00:1450:4001::1", "64:ff9b::101:101"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        let metadata =
            ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254", "168.63.129.16"];
        for metadata in metadata {
            let address = metadata.parse().unwrap();
            assert!(is_link_local(address) && !is_public(address), "{metadata}");
        }
        assert!(!is_link_local("10.0.0.1".parse().unwrap()));
    }
}
