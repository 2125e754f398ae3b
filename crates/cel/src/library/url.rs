//! Functions of addresses of the web.

use std::rc::Rc;

use crate::named::url::Url;
use crate::value::{Evaluated, Val, fail};

/// Calls a function that takes a text; none where there is no such one.
pub fn function<'a>(name: &str, all: &[Val<'a>]) -> Option<Evaluated<'a>> {
    let [Val::Text(text)] = all else { return None };
    Some(match name {
        "url" => Url::parse(text).map_or_else(
            |why| fail(format!("URL parse error during conversion from string: {why}")),
            |url| Ok(Val::named(url)),
        ),
        "isURL" => Ok(Val::Bool(Url::parse(text).is_ok())),
        _ => return None,
    })
}

/// Calls a method of an address.
pub fn method<'a>(name: &str, url: &Url) -> Option<Evaluated<'a>> {
    Some(Ok(match name {
        "getScheme" => Val::text(&*url.scheme),
        "getHost" => Val::text(&*url.host),
        "getHostname" => Val::text(url.hostname()),
        "getPort" => Val::text(url.port()),
        "getEscapedPath" => Val::text(&*url.path),
        "getQuery" => query(url),
        _ => return None,
    }))
}

fn query<'a>(url: &Url) -> Val<'a> {
    let list = |values: Vec<String>| Val::list(values.into_iter().map(Val::text).collect());
    let entries = url.query().into_iter().map(|(name, values)| (Val::text(name), list(values)));
    Val::Map(Rc::new(entries.collect()))
}
