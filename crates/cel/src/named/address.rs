//! Addresses and networks as values.

use std::fmt;
use std::net::IpAddr;

/// A network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// An address in it.
    pub address: IpAddr,
    /// How many bits of the address are those of the network.
    pub bits: u8,
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Reads an address.
///
/// # Errors
/// It is none, in the words of a refusal.
pub fn ip(text: &str) -> Result<IpAddr, String> {
    let quoted = everynode_model::go_quote(text);
    if text.contains('%') {
        return Err(format!("IP address {quoted} with zone value is not allowed"));
    }
    let address: IpAddr = text.parse().map_err(|_| {
        let why = mistake(text);
        format!("IP Address {quoted} parse error during conversion from string: ParseAddr({quoted}): {why}")
    })?;
    match address {
        IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => {
            Err(format!("IPv4-mapped IPv6 address {quoted} is not allowed"))
        }
        address => Ok(address),
    }
}

/// Why a text is no address, as Go words it.
fn mistake(text: &str) -> &'static str {
    match text.find(['.', ':']).map(|at| text.as_bytes()[at]) {
        None => "unable to parse IP",
        Some(b'.') => {
            let fields: Vec<&str> = text.split('.').collect();
            let is_number = |field: &&str| field.bytes().all(|byte| byte.is_ascii_digit());
            match fields.len() {
                _ if !fields.iter().all(is_number) => "unexpected character",
                _ if fields.contains(&"") => "IPv4 field must have at least one digit",
                _ if fields.iter().any(|field| field.len() > 1 && field.starts_with('0')) => {
                    "IPv4 field has octet with leading zero"
                }
                _ if fields.iter().any(|field| field.parse::<u8>().is_err()) => "IPv4 field has value >255",
                0..=3 => "IPv4 address too short",
                _ => "IPv4 address too long",
            }
        }
        Some(_) => "unable to parse IP",
    }
}

/// Reads a network.
///
/// # Errors
/// It is none, in the words of a refusal.
pub fn cidr(text: &str) -> Result<Cidr, String> {
    let quoted = everynode_model::go_quote(text);
    let wrong = |why: &str| {
        let what = "network address parse error during conversion from string";
        format!("{what}: {what}: netip.ParsePrefix({quoted}): {why}")
    };
    let (address, bits) = text.rsplit_once('/').ok_or_else(|| wrong("no '/'"))?;
    let address: IpAddr = address.parse().map_err(|_| wrong("unable to parse IP"))?;
    let is_mapped = matches!(address, IpAddr::V6(six) if six.to_ipv4_mapped().is_some());
    if is_mapped {
        return Err(format!("IPv4-mapped IPv6 address {quoted} is not allowed"));
    }
    let is_plain = bits.bytes().all(|byte| byte.is_ascii_digit()) && (bits == "0" || !bits.starts_with('0'));
    let number: Option<u8> = bits.parse().ok().filter(|_| is_plain);
    let shown = everynode_model::go_quote(bits);
    let bits = number.ok_or_else(|| wrong(&format!("bad bits after slash: {shown}")))?;
    if bits > width(address) {
        return Err(wrong("prefix length out of range"));
    }
    Ok(Cidr { address, bits })
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The bits of an address, from the left.
pub fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => u128::from(u32::from(four)) << 96,
        IpAddr::V6(six) => u128::from(six),
    }
}

impl Cidr {
    fn mask(self) -> u128 {
        if self.bits == 0 { 0 } else { u128::MAX << (128 - u32::from(self.bits)) }
    }

    /// Whether an address is in it.
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && bits_of(self.address) & self.mask() == bits_of(address) & self.mask()
    }

    /// Whether all of a network is in it.
    pub fn contains_all(self, other: Cidr) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }

    /// The same network by its first address.
    pub fn masked(self) -> Cidr {
        let bits = bits_of(self.address) & self.mask();
        let address = match self.address {
            IpAddr::V4(_) => IpAddr::V4(((bits >> 96) as u32).into()),
            IpAddr::V6(_) => IpAddr::V6(bits.into()),
        };
        Cidr { address, bits: self.bits }
    }
}
