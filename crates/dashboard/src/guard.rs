//! Who is let in: the browser that opens the address which was printed, and afterwards by its cookie. Everybody on the
//! machine can connect, and any page on the web can make a browser here ask: so host, origin and kind of each request
//! are looked at too.

use std::net::SocketAddr;
use std::sync::Mutex;

use http::header::{COOKIE, HOST, HeaderName, ORIGIN};
use http::{HeaderMap, Method};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

/// How a browser says where a request comes from.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Bytes of a secret.
const SECRET: usize = 24;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It names another host: a page of the web that has its name point here.
    Host,
    /// A page from elsewhere asks.
    Origin,
    /// It has no cookie of ours, and no token that counts.
    Stranger,
}

impl Refusal {
    /// A sentence.
    pub fn text(self) -> &'static str {
        match self {
            Refusal::Host => "This address is served to 127.0.0.1 and localhost only.\n",
            Refusal::Origin => "Requests of other pages are not answered.\n",
            Refusal::Stranger => {
                "This browser is not known here. The address that everynode printed lets one browser in, once: open \
                 it, or start everynode dashboard again for another one.\n"
            }
        }
    }
}

/// Who is let in.
#[derive(Debug)]
pub struct Guard {
    hosts: [String; 2],
    cookie_name: String,
    cookie: String,
    /// Of the token, until it is used.
    token_sha256: Mutex<Option<[u8; 32]>>,
}

impl Guard {
    /// A guard of an address, and the token for it; `None` when there are no random numbers.
    pub fn new(address: SocketAddr) -> Option<(Guard, String)> {
        let (cookie, token) = (secret()?, secret()?);
        let port = address.port();
        let guard = Guard {
            hosts: [format!("127.0.0.1:{port}"), format!("localhost:{port}")],
            // Cookies are shared by all ports of a host.
            cookie_name: format!("everynode-dashboard-{port}"),
            cookie,
            token_sha256: Mutex::new(Some(digest(&token))),
        };
        Some((guard, token))
    }

    /// Whether a request may be answered. With a token that counts, the cookie to set; the token is void then.
    pub fn admit(
        &self,
        method: &Method,
        headers: &HeaderMap,
        token: Option<&str>,
    ) -> Result<Option<String>, Refusal> {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(HOST).filter(|host| self.hosts.iter().any(|one| one == host)).ok_or(Refusal::Host)?;
        let is_own = |origin: &str| origin.strip_prefix("http://") == Some(host);
        let origin = text(ORIGIN);
        if origin.is_some_and(|origin| !is_own(origin)) || method != Method::GET && origin.is_none() {
            return Err(Refusal::Origin);
        }
        if let Some(cookie) = token.and_then(|token| self.redeem(token)) {
            return Ok(Some(cookie));
        }
        if matches!(text(FETCH_SITE), Some("cross-site" | "same-site")) {
            return Err(Refusal::Origin);
        }
        let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|value| value.split(';')).filter_map(|one| one.trim().split_once('='));
        let is_known =
            |(name, value): (&str, &str)| name == self.cookie_name && digest(value) == digest(&self.cookie);
        if pairs.any(is_known) { Ok(None) } else { Err(Refusal::Stranger) }
    }

    fn redeem(&self, token: &str) -> Option<String> {
        let mut kept = self.token_sha256.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Digests are compared, so that the time that it takes tells nothing of the token.
        kept.take_if(|kept| *kept == digest(token))?;
        Some(format!("{}={}; HttpOnly; SameSite=Strict; Path=/", self.cookie_name, self.cookie))
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

fn secret() -> Option<String> {
    let mut bytes = [0; SECRET];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panic")]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn guard() -> (Guard, String) {
        Guard::new("127.0.0.1:4000".parse().unwrap()).unwrap()
    }

    /// The cookie as a browser sends it back.
    fn pair(set: &str) -> String {
        set.split(';').next().unwrap().to_owned()
    }

    #[test]
    fn the_token_lets_one_browser_in_once_and_its_cookie_does_from_then_on() {
        let (guard, token) = guard();
        let bare = headers(&[(HOST, "127.0.0.1:4000")]);
        assert_eq!(guard.admit(&Method::GET, &bare, None), Err(Refusal::Stranger));
        assert_eq!(guard.admit(&Method::GET, &bare, Some("wrong")), Err(Refusal::Stranger));
        let set = guard.admit(&Method::GET, &bare, Some(&token)).unwrap().unwrap();
        assert!(set.ends_with("; HttpOnly; SameSite=Strict; Path=/"), "{set}");
        assert_eq!(guard.admit(&Method::GET, &bare, Some(&token)), Err(Refusal::Stranger));
        let known = headers(&[(HOST, "localhost:4000"), (COOKIE, &format!("other=1; {}", pair(&set)))]);
        assert_eq!(guard.admit(&Method::GET, &known, None), Ok(None));
        let forged = headers(&[(HOST, "localhost:4000"), (COOKIE, "everynode-dashboard-4000=0")]);
        assert_eq!(guard.admit(&Method::GET, &forged, None), Err(Refusal::Stranger));
    }

    #[test]
    fn requests_of_other_pages_and_for_other_hosts_are_refused() {
        let (guard, token) = guard();
        let set = guard.admit(&Method::GET, &headers(&[(HOST, "127.0.0.1:4000")]), Some(&token));
        let cookie = pair(&set.unwrap().unwrap());
        let check =
            |method: Method, host: &str, more: &[(HeaderName, &str)], expected: Result<(), Refusal>| {
                let all = [&[(HOST, host), (COOKIE, cookie.as_str())], more].concat();
                assert_eq!(
                    guard.admit(&method, &headers(&all), None).map(drop),
                    expected,
                    "{method} {host} {more:?}"
                );
            };
        let here = "127.0.0.1:4000";
        check(Method::GET, here, &[], Ok(()));
        check(Method::GET, "evil.example:4000", &[], Err(Refusal::Host));
        check(Method::GET, "127.0.0.1", &[], Err(Refusal::Host));
        check(Method::GET, here, &[(ORIGIN, "http://evil.example")], Err(Refusal::Origin));
        check(Method::GET, here, &[(ORIGIN, "null")], Err(Refusal::Origin));
        check(Method::GET, here, &[(ORIGIN, "http://127.0.0.1:4000")], Ok(()));
        check(Method::GET, here, &[(FETCH_SITE, "cross-site")], Err(Refusal::Origin));
        check(Method::GET, here, &[(FETCH_SITE, "same-origin")], Ok(()));
        check(Method::POST, here, &[], Err(Refusal::Origin));
        check(Method::POST, here, &[(ORIGIN, "http://127.0.0.1:4000")], Ok(()));
        check(Method::POST, here, &[(ORIGIN, "http://localhost:4000")], Err(Refusal::Origin));
    }
}
