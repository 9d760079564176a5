//! What services say, made fit to be a reason: the same words for the same failure, whichever node it struck.

/// Most characters kept.
const CHARS_MAX: usize = 200;

/// The text without xnames, URLs and addresses.
pub(super) fn clean(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(plain).collect();
    words.join(" ").chars().take(CHARS_MAX).collect()
}

/// A word with what is a URL, an address or an xname in it replaced; the punctuation around it stays.
fn plain(word: &str) -> String {
    let is_edge =
        |c: char| matches!(c, '"' | '\'' | '(' | ')' | '[' | ']' | ',' | ';' | ':' | '.' | '<' | '>');
    let core = word.trim_matches(is_edge);
    let Some(start) = word.find(core).filter(|_| !core.is_empty()) else { return word.to_owned() };
    let (head, tail) = (&word[..start], &word[start + core.len()..]);
    let replaced = if core.contains("://") {
        // Quotes around a URL would stand around its stand-in.
        return format!("<url>{}", tail.trim_start_matches(['"', '\'']));
    } else if is_address(core) {
        "<address>".to_owned()
    } else {
        core.split_inclusive(['/', ',', '=', ':', '>', '-']).map(without_xname).collect()
    };
    format!("{head}{replaced}{tail}")
}

fn without_xname(part: &str) -> String {
    let name = part.trim_end_matches(['/', ',', '=', ':', '>', '-', '.']);
    if is_xname(name) { format!("<component>{}", &part[name.len()..]) } else { part.to_owned() }
}

/// `x` and a number, then letters each with a number: `x1000c0s0b0n0`, but also a slot or a BMC.
fn is_xname(text: &str) -> bool {
    let mut after_digit = false;
    let mut letters = 0;
    for (place, c) in text.chars().enumerate() {
        match c {
            'x' | 'X' if place == 0 => letters = 1,
            _ if place == 0 => return false,
            '0'..='9' => after_digit = true,
            'a'..='z' if after_digit => {
                letters += 1;
                after_digit = false;
            }
            _ => return false,
        }
    }
    after_digit && letters >= 2
}

/// An IP address, with or without a port (`10.1.2.3:443->10.1.2.4:8080` as well).
fn is_address(text: &str) -> bool {
    let first = text.split("->").next().unwrap_or(text);
    let host = first.rsplit_once(':').map_or(first, |(host, _)| host);
    let is_v4 = |text: &str| text.parse::<std::net::Ipv4Addr>().is_ok();
    let v6 = first.trim_start_matches('[').split(']').next().unwrap_or(first);
    is_v4(first) || is_v4(host) || (v6.contains("::") && v6.parse::<std::net::Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_failures_of_two_nodes_read_the_same() {
        let of = |xname: &str, address: &str| {
            clean(&format!(
                "Failed to apply transition, on: Post \"https://{xname}/redfish/v1/Systems/Node0\": dial tcp \
                 {address}:443: connect: connection refused ({xname})"
            ))
        };
        assert_eq!(of("x1000c0s0b0", "10.254.1.5"), of("x9c7s12b1", "10.254.9.200"));
        assert_eq!(
            of("x1000c0s0b0", "10.254.1.5"),
            "Failed to apply transition, on: Post <url>: dial tcp <address>: connect: connection refused (<component>)"
        );
    }

    #[test]
    fn ordinary_words_stay() {
        for text in
            ["Timeout waiting for transition, on.", "x-forwarded for 3 nodes, v1.2", "exit status 4: x11"]
        {
            assert_eq!(clean(text), text);
        }
        assert_eq!(clean("a,x1c0s0b0n0,b"), "a,<component>,b");
        assert_eq!(clean("  many\n\tspaces "), "many spaces");
        assert_eq!(clean(&"x".repeat(999)).len(), CHARS_MAX);
    }
}
