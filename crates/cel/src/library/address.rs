//! Functions of addresses and networks.

use std::net::IpAddr;

use crate::named::Named;
use crate::named::address::{Cidr, bits_of, cidr, ip};
use crate::value::{Evaluated, Val, fail};

fn named<'a, T: Into<Named>>(read: Result<T, String>) -> Evaluated<'a> {
    read.map_or_else(fail, |value| Ok(Val::named(value)))
}

/// Calls a function that takes a text; none where there is no such one.
pub fn function<'a>(name: &str, all: &[Val<'a>]) -> Option<Evaluated<'a>> {
    let [Val::Text(text)] = all else { return None };
    Some(match name {
        "ip" => named(ip(text)),
        "cidr" => named(cidr(text)),
        "isIP" => Ok(Val::Bool(ip(text).is_ok())),
        "isCIDR" => Ok(Val::Bool(cidr(text).is_ok())),
        "ip.isCanonical" => match ip(text) {
            Ok(address) => Ok(Val::Bool(address.to_string() == **text)),
            Err(why) => fail(why),
        },
        _ => return None,
    })
}

/// Calls a method of an address.
pub fn of_ip<'a>(name: &str, address: IpAddr) -> Option<Evaluated<'a>> {
    let is = |of_four: bool, of_six: bool| match address {
        IpAddr::V4(_) => of_four,
        IpAddr::V6(_) => of_six,
    };
    let first = (bits_of(address) >> 112) as u16;
    let (first_byte, second_byte) = ((first >> 8) as u8, first as u8);
    let third_byte = (bits_of(address) >> 104) as u8;
    let is_link_local = is(first_byte == 169 && second_byte == 254, first & 0xffc0 == 0xfe80);
    Some(Ok(match name {
        "family" => Val::Int(if address.is_ipv4() { 4 } else { 6 }),
        "isUnspecified" => Val::Bool(address.is_unspecified()),
        "isLoopback" => Val::Bool(address.is_loopback()),
        "isLinkLocalMulticast" => {
            Val::Bool(is(first_byte == 224 && second_byte == 0 && third_byte == 0, first & 0xff0f == 0xff02))
        }
        "isLinkLocalUnicast" => Val::Bool(is_link_local),
        "isGlobalUnicast" => {
            let is_other = address.is_unspecified() || address.is_loopback() || address.is_multicast();
            let is_broadcast = matches!(address, IpAddr::V4(four) if four.is_broadcast());
            Val::Bool(!is_other && !is_broadcast && !is_link_local)
        }
        _ => return None,
    }))
}

/// Calls a method of a network.
pub fn of_cidr<'a>(name: &str, network: Cidr, rest: &[Val<'a>]) -> Option<Evaluated<'a>> {
    let other = match rest {
        [Val::Named(named)] => Some(&**named),
        _ => None,
    };
    let truth = |read: Result<bool, String>| read.map_or_else(fail, |truth| Ok(Val::Bool(truth)));
    Some(match (name, rest, other) {
        ("containsIP", [Val::Text(text)], _) => truth(ip(text).map(|address| network.contains(address))),
        ("containsIP", _, Some(Named::Ip(address))) => Ok(Val::Bool(network.contains(*address))),
        ("containsCIDR", [Val::Text(text)], _) => truth(cidr(text).map(|other| network.contains_all(other))),
        ("containsCIDR", _, Some(Named::Cidr(other))) => Ok(Val::Bool(network.contains_all(*other))),
        ("ip", [], _) => Ok(Val::named(network.address)),
        ("prefixLength", [], _) => Ok(Val::Int(network.bits.into())),
        ("masked", [], _) => Ok(Val::named(network.masked())),
        _ => return None,
    })
}
