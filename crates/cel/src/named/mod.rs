//! Values of the types that libraries bring.

pub mod address;
pub mod format;
pub mod url;
pub mod version;

use std::net::IpAddr;

use everynode_model::quantity::Quantity;

use crate::declare;
use address::Cidr;
use format::Format;
use url::Url;
use version::Version;

/// A value of a type that a library brings.
#[derive(Debug, PartialEq)]
pub enum Named {
    Url(Url),
    Ip(std::net::IpAddr),
    Cidr(Cidr),
    Quantity(Quantity),
    Version(Version),
    Format(&'static Format),
}

impl Named {
    /// The name of its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Named::Url(_) => declare::URL,
            Named::Ip(_) => declare::IP,
            Named::Cidr(_) => declare::CIDR,
            Named::Quantity(_) => declare::QUANTITY,
            Named::Version(_) => declare::SEMVER,
            Named::Format(_) => declare::FORMAT,
        }
    }

    /// The size that costs are counted by: bytes of an address, 1 for others.
    pub fn cost_size(&self) -> u64 {
        match self {
            Named::Ip(ip) => {
                if ip.is_ipv4() {
                    4
                } else {
                    16
                }
            }
            Named::Cidr(cidr) => u64::from(cidr.bits).div_ceil(8),
            _ => 1,
        }
    }
}

macro_rules! from {
    ($($kind:ident: $of:ty),*) => {
        $(impl From<$of> for Named {
            fn from(value: $of) -> Named {
                Named::$kind(value)
            }
        })*
    };
}

from!(Url: Url, Ip: IpAddr, Cidr: Cidr, Quantity: Quantity, Version: Version, Format: &'static Format);
