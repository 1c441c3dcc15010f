//! Taking secrets out of command lines and addresses.
//!
//! A command line may hold a password, and whoever reads a run's record need not know it. What follows an option, a name or
//! a header that is called like a secret is replaced, so are the credentials of a URL, and words with the shape of a token.
//! It is better to hide too much: the tests say what must stay readable (`--tokenizer`, commits, paths).

/// What stands where a secret was.
pub const HIDDEN: &str = "[hidden]";

/// The most arguments, and the longest one, in characters.
const ARGUMENTS: usize = 512;
const ARGUMENT: usize = 4_096;

/// Arguments of a process, without secrets; too many and too long ones are cut off.
pub fn arguments(arguments: &[String]) -> Vec<String> {
    let mut out = Vec::with_capacity(arguments.len().min(ARGUMENTS));
    let mut hides = false;
    for argument in arguments.iter().take(ARGUMENTS) {
        // A value that is missing: the next option is no secret.
        if hides && !argument.starts_with("--") {
            out.push(HIDDEN.to_owned());
            hides = false;
            continue;
        }
        let mut scrubber = Scrubber::default();
        scrubber.run(argument);
        hides = scrubber.next == Next::Hide;
        out.push(cut(&scrubber.out));
    }
    if arguments.len() > ARGUMENTS {
        out.push("…".to_owned());
    }
    out
}

/// Text without secrets; too long a one is cut off.
pub fn text(text: &str) -> String {
    let mut scrubber = Scrubber::default();
    scrubber.run(text);
    cut(&scrubber.out)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(ARGUMENT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// What becomes of the next word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Next {
    /// It stands for itself.
    #[default]
    Plain,
    /// It is a secret if a `:` or `=` comes first.
    Named,
    /// It is a secret.
    Hide,
}

#[derive(Default)]
struct Scrubber {
    out: String,
    next: Next,
}

/// Words end at blanks and quotes.
fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`')
}

impl Scrubber {
    fn run(&mut self, text: &str) {
        let mut rest = text;
        let mut quote = None;
        while let Some(first) = rest.chars().next() {
            if ends_word(first) {
                quote = (!first.is_whitespace()).then_some(first);
                self.out.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
                continue;
            }
            // A secret in quotes reaches to the closing one.
            let end = match quote.filter(|_| self.next == Next::Hide) {
                Some(quote) => rest.find(quote),
                None => rest.find(ends_word),
            };
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            self.word(word);
            rest = after;
        }
    }

    fn word(&mut self, word: &str) {
        let joins = matches!(word.trim_matches(['{', '}', ',', '[', ']', '(', ')']), ":" | "=" | ":=" | "=>");
        match self.next {
            Next::Hide if joins => {
                self.out.push_str(word);
                return;
            }
            Next::Hide if !word.starts_with("--") => {
                // A scheme of authentication: what follows it is the secret.
                if is_scheme(word) {
                    self.out.push_str(word);
                    return;
                }
                self.out.push_str(HIDDEN);
                self.next = Next::Plain;
                return;
            }
            Next::Named if joins => {
                self.out.push_str(word);
                self.next = Next::Hide;
                return;
            }
            _ => {}
        }
        self.next = Next::Plain;
        if is_scheme(word) {
            self.out.push_str(word);
            self.next = Next::Hide;
            return;
        }
        let word = without_credentials(word);
        self.pairs(&word);
    }

    /// `name=value`, several of which an address or a list may join by `&`, `;` or `,`.
    fn pairs(&mut self, word: &str) {
        let mut rest = word;
        while !rest.is_empty() {
            let end = rest.find(['&', ';', ',', '?', '{', '}', '(', ')', '[', ']']).unwrap_or(rest.len());
            let (pair, after) = rest.split_at(end);
            self.pair(pair);
            let mut rests = after.chars();
            if let Some(join) = rests.next() {
                self.out.push(join);
            }
            rest = rests.as_str();
        }
    }

    fn pair(&mut self, pair: &str) {
        let found = pair.char_indices().find(|(at, c)| {
            let name = pair.get(..*at).unwrap_or_default();
            // `https://…` and Windows drives are no pairs.
            (*c == '=' || *c == ':') && is_secret(name)
        });
        if let Some((at, _)) = found {
            let (name, value) = pair.split_at(at);
            let mark = value.chars().next().unwrap_or_default();
            self.out.push_str(name);
            self.out.push(mark);
            // The value may come as a word of its own: `"password": "x"`, `password= x`.
            if value.len() > mark.len_utf8() {
                self.out.push_str(HIDDEN);
            } else {
                self.next = Next::Hide;
            }
            return;
        }
        if is_secret(pair) {
            self.out.push_str(pair);
            self.next = if pair.starts_with('-') { Next::Hide } else { Next::Named };
            return;
        }
        let mut rest = pair;
        while !rest.is_empty() {
            let end = rest.find(['=', ':', '/', '@', '|', '<', '>', '%', '\\']).unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            self.out.push_str(if is_token(part) { HIDDEN } else { part });
            let mut rests = after.chars();
            if let Some(join) = rests.next() {
                self.out.push(join);
            }
            rest = rests.as_str();
        }
    }
}

fn is_scheme(word: &str) -> bool {
    ["bearer", "basic"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// A word in which the `user:password@` of every URL is replaced.
fn without_credentials(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find("://") {
        let (scheme, after) = rest.split_at(at + 3);
        out.push_str(scheme);
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        // A password may hold unescaped characters that end an authority; then the last @ before the next blank counts.
        let (authority, beyond) = after.split_at(end);
        let (user, host, beyond) = match (authority.rsplit_once('@'), after.rsplit_once('@')) {
            (Some((user, host)), _) => (user, host, beyond),
            (None, Some((user, host))) if user.contains(':') && is_password_with_slashes(user) => {
                (user, host, "")
            }
            _ => ("", authority, beyond),
        };
        if !user.is_empty() {
            out.push_str(if user == "git" { user } else { HIDDEN });
            out.push('@');
        }
        out.push_str(host);
        rest = beyond;
    }
    out.push_str(rest);
    out
}

/// Whether `user:password` has a password rather than a port before its first slash.
fn is_password_with_slashes(user: &str) -> bool {
    let password = user.split_once(':').map(|(_, password)| password).unwrap_or_default();
    let first = password.split('/').next().unwrap_or_default();
    first.is_empty() || first.parse::<u16>().is_err()
}

/// Names, or last parts of names, that say that their value is a secret.
const SECRETS: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "secrets",
    "token",
    "apikey",
    "accesskey",
    "credential",
    "credentials",
    "authorization",
    "cookie",
    "signature",
];
/// The same, where the name is made of two parts.
const PAIRS: [(&str, &str); 7] = [
    ("api", "key"),
    ("access", "key"),
    ("account", "key"),
    ("private", "key"),
    ("secret", "key"),
    ("connection", "string"),
    ("shared", "key"),
];

/// Whether `name` is called like a secret: `--db-password`, `HF_TOKEN`, `apiKey`.
fn is_secret(name: &str) -> bool {
    let name = name.rsplit(['/', '?', '@', '=', ':']).next().unwrap_or_default();
    if name.is_empty() || name.len() > 80 {
        return false;
    }
    let mut parts: Vec<String> = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && lower) {
            parts.push(String::new());
        }
        lower = c.is_lowercase();
        if c.is_alphanumeric()
            && let Some(last) = parts.last_mut()
        {
            last.extend(c.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    let single = |part: &String| {
        SECRETS.iter().any(|secret| part.ends_with(secret))
            || ["pass", "sig", "auth", "pat"].contains(&part.as_str())
    };
    parts.iter().any(single)
        || parts.windows(2).any(|pair| match pair {
            [first, second] => PAIRS.iter().any(|(a, b)| first.ends_with(a) && second == b),
            _ => false,
        })
}

/// How the tokens of well-known services begin.
const BEGINNINGS: [&str; 20] = [
    "AKIA",
    "ASIA",
    "AIza",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gyre_",
    "hf_",
    "sk-",
    "sk_",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "dapi",
    "pypi-",
    "eyJ",
];

/// Whether `word` has the shape of a token: a known beginning, or a long mixture of small and capital letters and digits.
fn is_token(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '~');
    if word.len() < 16 || !word.chars().all(plain) {
        return false;
    }
    let digit = word.contains(|c: char| c.is_ascii_digit());
    if digit && BEGINNINGS.iter().any(|beginning| word.starts_with(beginning)) {
        return true;
    }
    let count = |of: fn(&char) -> bool| word.chars().filter(of).count();
    let (small, capital) = (count(char::is_ascii_lowercase), count(char::is_ascii_uppercase));
    let digits = count(char::is_ascii_digit);
    word.len() >= 24 && small >= 4 && capital >= 4 && digits >= 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(arguments: &str) -> String {
        let split: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        super::arguments(&split).join(" ")
    }

    #[test]
    fn secrets_are_hidden() {
        for (given, kept) in [
            ("train --password hunter2 -v", "train --password [hidden] -v"),
            ("train --db-password=hunter2", "train --db-password=[hidden]"),
            ("HF_TOKEN=abc python x.py", "HF_TOKEN=[hidden] python x.py"),
            ("x https://u:p@h.org/a?b=1", "x https://[hidden]@h.org/a?b=1"),
            ("x https://ghp_abcdef@github.com/a/b", "x https://[hidden]@github.com/a/b"),
            ("x postgres://u:p/w@h:5/db", "x postgres://[hidden]@h:5/db"),
            ("x s3://b/k?X-Amz-Signature=abc&n=1", "x s3://b/k?X-Amz-Signature=[hidden]&n=1"),
            ("x --api-key abc", "x --api-key [hidden]"),
            ("x apiKey:abc", "x apiKey:[hidden]"),
            ("x --token --verbose", "x --token --verbose"),
            ("x AKIAIOSFODNN7EXAMPLE", "x [hidden]"),
            ("x key=Zm9vYmFyQmF6MTIzNDU2Nzg5MEFCQ0RF", "x key=[hidden]"),
        ] {
            assert_eq!(line(given), kept);
        }
        for (given, kept) in [
            (r#"curl -H "Authorization: Bearer abc.def" u"#, r#"curl -H "Authorization: Bearer [hidden]" u"#),
            (r#"{"password": "a b", "n": 1}"#, r#"{"password": "[hidden]", "n": 1}"#),
            (r#"{"password":"ab","n":1}"#, r#"{"password":"[hidden]","n":1}"#),
            ("sh -c train --secret abc --lr 1", "sh -c train --secret [hidden] --lr 1"),
        ] {
            assert_eq!(text(given), kept);
        }
        // The whole argument is the secret, whatever it holds.
        let given = ["--password".to_owned(), "two words".to_owned(), "x".to_owned()];
        assert_eq!(arguments(&given), ["--password", HIDDEN, "x"]);
    }

    #[test]
    fn what_tells_where_a_run_came_from_stays() {
        for kept in [
            "python train.py --lr 0.1 --max-tokens 5 --tokenizer bert-base-uncased --epochs=3",
            "python -m pkg.train data/train-2024-01-01.parquet C:\\x",
            "x 0123456789abcdef0123456789abcdef01234567",
            "x git@github.com:org/repo.git ssh://git@host/repo https://host:8080/a@b",
            "x --key flight_id --author me --compass n --passes 3",
            "x /home/me/ProjectNumber12345/Some/LongFolderNameOfMine",
        ] {
            assert_eq!(line(kept), kept);
        }
    }

    #[test]
    fn length_is_bounded() {
        let many: Vec<String> = (0..10_000).map(|n| format!("a{n}")).collect();
        assert_eq!(arguments(&many).len(), ARGUMENTS + 1);
        assert_eq!(text(&"é".repeat(100_000)).chars().count(), ARGUMENT + 1);
    }

    proptest! {
        #[test]
        fn anything_goes_in_and_no_secret_comes_out(
            before in "\\PC{0,30}", after in "\\PC{0,30}", secret in "[a-z0-9]{6,20}Q",
        ) {
            let blank = |text: &str| text.replace(['"', '\'', '`'], "");
            let (before, after) = (blank(&before), blank(&after));
            prop_assume!(!before.contains(&secret) && !after.contains(&secret));
            for given in [
                format!("{before} --password {secret} {after}"),
                format!("{before} token={secret} {after}"),
                format!("{before} https://user:{secret}@host/ {after}"),
                format!("{before} {{\"api_key\": \"{secret}\"}} {after}"),
            ] {
                prop_assert!(!text(&given).contains(&secret), "{given} gave {}", text(&given));
            }
            let given = [before, "--password".to_owned(), secret.clone(), after];
            prop_assert!(!arguments(&given).join(" ").contains(&secret));
        }
    }
}
