//! What a file is called and said to be when it is sent. Pure.
//!
//! Artifacts come from anybody who may log, and are served on the origin of the control room. So none is ever a page:
//! what could carry a script is declared plain text, everything is an attachment, sniffing is off, and a policy puts what
//! is shown all the same into a sandbox. MLflow's web interface is not disturbed: it fetches files and shows them itself.

use std::fmt::Write;

use axum::http::{HeaderMap, HeaderValue, header};

/// Content types by file name extension, for what interfaces preview. The rest is bytes.
const KINDS: [(&str, &[&str]); 14] = [
    ("application/json; charset=utf-8", &["json", "ipynb", "geojson"]),
    ("image/png", &["png"]),
    ("image/jpeg", &["jpg", "jpeg"]),
    ("image/gif", &["gif"]),
    ("image/webp", &["webp"]),
    ("image/bmp", &["bmp"]),
    // May carry a script, and is an image only under its name; the sandbox keeps the script from running.
    ("image/svg+xml", &["svg"]),
    ("application/pdf", &["pdf"]),
    ("audio/wav", &["wav"]),
    ("audio/mpeg", &["mp3"]),
    ("video/mp4", &["mp4"]),
    ("video/webm", &["webm"]),
    ("text/csv; charset=utf-8", &["csv"]),
    (
        TEXT,
        &[
            "txt", "log", "md", "rst", "yaml", "yml", "toml", "cfg", "conf", "ini", "py", "js", "ts", "css",
            "sh", "r", "sql", "tsv", "xml", "html", "htm", "xhtml", "diff", "patch", "jsonl", "pbtxt",
        ],
    ),
];

const TEXT: &str = "text/plain; charset=utf-8";

/// Files known by their whole name.
const TEXTS: [&str; 6] = ["mlmodel", "mlproject", "dockerfile", "makefile", "license", "readme"];

/// The content type of a file called `name`.
pub(super) fn kind(name: &str) -> &'static str {
    let name = name.to_ascii_lowercase();
    if TEXTS.contains(&name.as_str()) {
        return TEXT;
    }
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let known = KINDS.iter().find(|(_, extensions)| extensions.contains(&extension));
    known.map_or("application/octet-stream", |(kind, _)| kind)
}

/// The headers of a file called `name`, whatever becomes of the request.
pub(super) fn guard(headers: &mut HeaderMap, name: &str) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'self'"),
    );
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    // Always asked for again, and answered with 304 when it has not changed.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    let disposition = HeaderValue::try_from(disposition(name));
    headers.insert(
        header::CONTENT_DISPOSITION,
        disposition.unwrap_or_else(|_| HeaderValue::from_static("attachment")),
    );
}

/// RFC 6266: a name in ASCII for old clients, and the whole name for all others (RFC 8187).
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|letter| match letter {
            '"' | '\\' => '_',
            letter if letter.is_ascii_graphic() || letter == ' ' => letter,
            _ => '_',
        })
        .collect();
    let mut text = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        text.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
                text.push(byte.into());
            } else {
                // Writing to a string does not fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_runs_is_declared_as_such() {
        for name in ["a.html", "a.HTM", "x.xhtml", "a.xml", "a.js", "MLmodel", "a.tar.md"] {
            assert_eq!(kind(name), TEXT, "{name}");
        }
        for name in ["model.pkl", "noext", "a.swf", "a.mht", "html", ".html5", "a.shtml"] {
            assert_eq!(kind(name), "application/octet-stream", "{name}");
        }
        assert_eq!(kind("plot.PNG"), "image/png");
        let mut headers = HeaderMap::new();
        guard(&mut headers, "a.svg");
        assert!(
            headers["content-security-policy"].to_str().unwrap().starts_with("sandbox; default-src 'none'")
        );
        assert_eq!(headers["content-disposition"], "attachment; filename=\"a.svg\"");
    }

    #[test]
    fn names_cannot_leave_their_header() {
        assert_eq!(disposition("a b.txt"), "attachment; filename=\"a b.txt\"");
        assert_eq!(
            disposition("é\"; x=\r\n.txt"),
            "attachment; filename=\"__; x=__.txt\"; filename*=UTF-8''%C3%A9%22%3B%20x%3D%0D%0A.txt"
        );
    }
}
