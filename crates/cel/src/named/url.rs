//! Addresses of the web, read as Go reads the one of a request.

/// An address.
#[derive(Debug, PartialEq, Eq)]
pub struct Url {
    /// The scheme in small letters.
    pub scheme: String,
    /// The host with its port.
    pub host: String,
    /// The path with bytes written out that must be.
    pub path: String,
    query: String,
}

/// The scheme and what is behind it.
fn scheme(text: &str) -> Result<(&str, &str), &'static str> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err("missing protocol scheme"),
            ':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

impl Url {
    /// Reads the address of a request.
    ///
    /// # Errors
    /// It is none, in Go's words.
    pub fn parse(text: &str) -> Result<Url, String> {
        let wrong = |why: &str| format!("parse {}: {why}", everynode_model::go_quote(text));
        if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return Err(wrong("net/url: invalid control character in URL"));
        }
        if text.is_empty() {
            return Err(wrong("empty url"));
        }
        let (scheme, rest) = scheme(text).map_err(wrong)?;
        let (scheme, rest) = (scheme.to_ascii_lowercase(), rest.split('#').next().unwrap_or_default());
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut url = Url { scheme, host: String::new(), path: String::new(), query: query.to_owned() };
        if !rest.starts_with('/') {
            // What is behind a scheme without a slash is opaque.
            return if url.scheme.is_empty() { Err(wrong("invalid URI for request")) } else { Ok(url) };
        }
        let mut path = rest;
        if let Some(authority) = rest.strip_prefix("//").filter(|_| !url.scheme.is_empty()) {
            let end = authority.find('/').unwrap_or(authority.len());
            url.host = host(&authority[..end]).map_err(|why| wrong(&why))?;
            path = &authority[end..];
        }
        unescaped(path).map_err(|why| wrong(&why))?;
        url.path = escaped_path(path);
        Ok(url)
    }

    /// The host without its port.
    pub fn hostname(&self) -> &str {
        match self.host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.host.rsplit_once(':').map_or(&self.host, |(name, _)| name),
        }
    }

    /// The port; empty where there is none.
    pub fn port(&self) -> &str {
        let behind = self.host.rsplit_once(']').map_or(self.host.as_str(), |(_, behind)| behind);
        behind.rsplit_once(':').map_or("", |(_, port)| port)
    }
}

/// The host of an authority, which may name a user before it.
fn host(authority: &str) -> Result<String, String> {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let port = match host.strip_prefix('[') {
        Some(_) => host.rsplit_once(']').ok_or("missing ']' in host")?.1,
        None => host.rfind(':').map_or("", |at| &host[at..]),
    };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_port {
        return Err(format!("invalid port {} after host", everynode_model::go_quote(port)));
    }
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"%".contains(c) || !c.is_ascii();
    match host.chars().find(|c| !allowed(*c)) {
        Some(c) => {
            Err(format!("invalid character {} in host name", everynode_model::go_quote(&c.to_string())))
        }
        None => unescaped(host),
    }
}

/// The text with what stands for bytes written out.
fn unescaped(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = behind;
            continue;
        }
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(value) = value else {
            let shown = String::from_utf8_lossy(&rest[..rest.len().min(3)]).into_owned();
            return Err(format!("invalid URL escape {}", everynode_model::go_quote(&shown)));
        };
        bytes.push(value);
        rest = &behind[2..];
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The path with all written as bytes that must be.
fn escaped_path(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(byte.into()),
            byte if b"-_.~$&+,/:;=@!'()*%[]".contains(&byte) => out.push(byte.into()),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

impl Url {
    /// The values of its query by their names.
    pub fn query(&self) -> Vec<(String, Vec<String>)> {
        let mut found: Vec<(String, Vec<String>)> = Vec::new();
        for pair in self.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = |text: &str| unescaped(&text.replace('+', " "));
            let (Ok(name), Ok(value)) = (plain(name), plain(value)) else { continue };
            match found.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => found.push((name, vec![value])),
            }
        }
        found
    }
}
