//! Reads the values of the table `[s3]`: an address, names of a region and a bucket, a prefix, secrets.

use super::ClearText;
use super::source::Value;
use super::values::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zeroize::Zeroizing;

/// The longest secret, in bytes; session tokens have a few thousand.
const SECRET_MAX: usize = 16 * 1024;

/// The longest prefix, in bytes: with the id, a name stays far below the 1,024 that S3 has for it.
const PREFIX_MAX: usize = 200;

/// `https://s3.example.org` or `http://192.168.1.7:9000`: no path, no slash at the end. A server that
/// is not in a local network is spoken to in private only.
pub(super) fn endpoint(value: &Value<'_>) -> Read<String> {
    let remedy = "write the address of the server, such as \"https://s3.eu-central-1.amazonaws.com\" or \"http://192.168.1.7:9000\"";
    let text = value.text().ok_or(remedy)?.trim().trim_end_matches('/');
    if text.contains('@') {
        return Err(format!("leave user and password out; {remedy}"));
    }
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://").ok_or(remedy)?;
    if authority.contains('/') {
        return Err(
            "leave the path out, and write the bucket into a line of its own: bucket = \"NAME\""
                .to_owned(),
        );
    }
    let host = host_of(authority).ok_or(remedy)?;
    match scheme {
        "https" => Ok(text),
        "http" if is_local(host) => Ok(text),
        "http" => Err(
            "write https://: without it, everybody on the way could change what is stored. http:// is for addresses and names of the local network"
                .to_owned(),
        ),
        _ => Err(remedy.to_owned()),
    }
}

/// The host of `host`, `host:port`, `[v6]` or `[v6]:port`; `None` when it is none of these.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (
                host,
                rest.strip_prefix(':').or(rest.is_empty().then_some(""))?,
            )
        }
        None => {
            let (host, port) = match authority.split_once(':') {
                Some((_, "")) => return None,
                Some(both) => both,
                None => (authority, ""),
            };
            let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            let sound = !host.is_empty() && !host.starts_with(['.', '-']) && !host.contains("..");
            (sound && host.bytes().all(is_name)).then_some(())?;
            (host, port)
        }
    };
    let sound = port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0);
    sound.then_some(host)
}

/// Whether a host is in a network of one's own, by its address or its name.
pub(super) fn is_local(host: &str) -> bool {
    match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(v4)) => {
            // 100.64.0.0/10 (RFC 6598) is what private overlay networks use.
            let shared = u32::from(v4) >> 22 == u32::from(Ipv4Addr::new(100, 64, 0, 0)) >> 22;
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || shared
        }
        Ok(IpAddr::V6(v6)) => {
            v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()
        }
        Err(_) => {
            let ends = [
                ".localhost",
                ".local",
                ".lan",
                ".home",
                ".internal",
                ".home.arpa",
            ];
            // Resolvers take such a number for an address, of any network.
            let is_number = host.starts_with("0x") || host.bytes().all(|b| b.is_ascii_digit());
            (!host.contains('.') && !is_number) || ends.iter().any(|end| host.ends_with(end))
        }
    }
}

/// The host of an endpoint that was read.
pub(super) fn host(endpoint: &str) -> &str {
    let authority = endpoint.split("://").nth(1).unwrap_or("");
    host_of(authority).unwrap_or("")
}

/// Whether an endpoint that was read is on this machine.
pub(super) fn is_here(endpoint: &str) -> bool {
    let host = host(endpoint);
    let address = host.parse::<IpAddr>().map(|address| address.to_canonical());
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// `eu-central-1`, `auto`, `garage`.
pub(super) fn region(value: &Value<'_>) -> Read<String> {
    let text = value.text().unwrap_or_default();
    let sound = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    if (1..=64).contains(&text.len()) && text.bytes().all(sound) {
        Ok(text.to_owned())
    } else {
        Err("write the name of the region, such as \"us-east-1\"; servers of one's own have one in their settings".to_owned())
    }
}

/// The name of a bucket.
pub(super) fn bucket(value: &Value<'_>) -> Read<String> {
    let text = value.text().unwrap_or_default();
    let sound = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    let (first, last) = (text.bytes().next(), text.bytes().last());
    let fits = (3..=63).contains(&text.len()) && text.bytes().all(sound);
    if fits && ends(first) && ends(last) && !text.contains("..") {
        Ok(text.to_owned())
    } else {
        Err("write the name of the bucket: 3 to 63 letters, digits, hyphens or dots, such as \"my-files\"".to_owned())
    }
}

/// Nothing, or `some/thing/`: a slash at its end is put there.
pub(super) fn prefix(value: &Value<'_>) -> Read<String> {
    let remedy =
        "write letters, digits, hyphens, dots and slashes, at most 200, such as \"mayfly/\"";
    let text = value.text().ok_or(remedy)?;
    if text.is_empty() {
        return Ok(String::new());
    }
    let text = text.strip_suffix('/').unwrap_or(text);
    let sound = |b: u8| b.is_ascii_alphanumeric() || b"/_.-".contains(&b);
    let step = |part: &str| part.is_empty() || part == "." || part == "..";
    if text.len() < PREFIX_MAX && text.bytes().all(sound) && !text.split('/').any(step) {
        Ok(format!("{text}/"))
    } else {
        Err(remedy.to_owned())
    }
}

/// A secret.
pub(super) fn clear_text(value: &Value<'_>) -> Read<Option<ClearText>> {
    let text = value.text().ok_or("write it in quotes")?;
    sound(text)?;
    Ok(Some(ClearText(Zeroizing::new(text.to_owned()))))
}

/// Whether this can be the id or the secret of an access key, or a token.
///
/// # Errors
/// The remedy, without the text.
pub fn sound(text: &str) -> Result<(), &'static str> {
    match text {
        "" => Err("it is empty: write the key as the provider shows it"),
        _ if text.len() > SECRET_MAX => Err("it is too long: write the key alone"),
        _ if text.bytes().all(|b| b.is_ascii_graphic()) => Ok(()),
        _ => Err("there are spaces or other characters in it that no key has: write the key alone"),
    }
}
