//! Conversions from one type to another.

use everynode_model::duration;

use super::print;
use crate::named::Named;
use crate::value::{Evaluated, Val, fail, moment};

fn cannot<'a>(from: &Val<'_>, to: &str) -> Evaluated<'a> {
    fail(format!("type conversion error from '{}' to '{to}'", from.type_name()))
}

/// Calls a function that is named after what it converts to; none where there is no such one.
pub fn call<'a>(name: &str, all: &[Val<'a>]) -> Option<Evaluated<'a>> {
    let [from] = all else { return None };
    Some(match (name, from) {
        ("int", _) => int(from),
        ("uint", _) => uint(from),
        ("double", _) => double(from),
        ("bool", Val::Bool(_)) => Ok(from.clone()),
        ("bool", Val::Text(text)) => match &**text {
            "true" | "True" | "TRUE" | "t" | "1" => Ok(Val::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "0" => Ok(Val::Bool(false)),
            _ => cannot(from, "bool"),
        },
        ("bytes", Val::Bytes(_)) => Ok(from.clone()),
        ("bytes", Val::Text(text)) => Ok(Val::Bytes(text.as_bytes().into())),
        ("string", Val::Bytes(bytes)) => match String::from_utf8(bytes.to_vec()) {
            Ok(text) => Ok(Val::text(text)),
            Err(_) => fail("invalid UTF-8 in bytes, cannot convert to string"),
        },
        ("string", Val::Named(named)) => match &**named {
            Named::Ip(ip) => Ok(Val::text(ip.to_string())),
            Named::Cidr(cidr) => Ok(Val::text(cidr.to_string())),
            _ => cannot(from, "string"),
        },
        ("string", _) => {
            print::text_of(from).map_or_else(|| cannot(from, "string"), |text| Ok(Val::text(text)))
        }
        ("duration", Val::Duration(_)) | ("timestamp", Val::Moment(_)) => Ok(from.clone()),
        ("duration", Val::Int(nanos)) => Ok(Val::Duration(*nanos)),
        ("duration", Val::Text(text)) => {
            let found = duration::parse(text).map(Val::Duration);
            found.map_or_else(|| cannot(from, "google.protobuf.Duration"), Ok)
        }
        ("timestamp", Val::Int(seconds)) => Ok(Val::Moment(i128::from(*seconds) * 1_000_000_000)),
        ("timestamp", Val::Text(text)) => {
            moment(text).map(Val::Moment).map_or_else(|| cannot(from, "google.protobuf.Timestamp"), Ok)
        }
        ("bool" | "bytes" | "duration" | "timestamp", _) => cannot(from, name),
        _ => return None,
    })
}

fn int<'a>(from: &Val<'a>) -> Evaluated<'a> {
    match from {
        Val::Int(_) => Ok(from.clone()),
        Val::Uint(int) => {
            i64::try_from(*int).map_or_else(|_| fail("integer overflow"), |int| Ok(Val::Int(int)))
        }
        Val::Double(double) if double.abs() < 9.2e18 => Ok(Val::Int(*double as i64)),
        Val::Double(_) => fail("integer overflow"),
        Val::Text(text) => text.parse().map_or_else(|_| cannot(from, "int"), |int| Ok(Val::Int(int))),
        Val::Duration(nanos) => Ok(Val::Int(*nanos)),
        Val::Moment(nanos) => Ok(Val::Int(nanos.div_euclid(1_000_000_000) as i64)),
        _ => cannot(from, "int"),
    }
}

fn uint<'a>(from: &Val<'a>) -> Evaluated<'a> {
    let overflow = || fail("unsigned integer overflow");
    match from {
        Val::Uint(_) => Ok(from.clone()),
        Val::Int(int) => u64::try_from(*int).map_or_else(|_| overflow(), |int| Ok(Val::Uint(int))),
        Val::Double(double) if (0.0..1.8e19).contains(double) => Ok(Val::Uint(*double as u64)),
        Val::Double(_) => overflow(),
        Val::Text(text) => text.parse().map_or_else(|_| cannot(from, "uint"), |int| Ok(Val::Uint(int))),
        _ => cannot(from, "uint"),
    }
}

fn double<'a>(from: &Val<'a>) -> Evaluated<'a> {
    match from {
        Val::Double(_) => Ok(from.clone()),
        Val::Int(int) => Ok(Val::Double(*int as f64)),
        Val::Uint(int) => Ok(Val::Double(*int as f64)),
        Val::Text(text) => {
            text.parse().map_or_else(|_| cannot(from, "double"), |double| Ok(Val::Double(double)))
        }
        _ => cannot(from, "double"),
    }
}
