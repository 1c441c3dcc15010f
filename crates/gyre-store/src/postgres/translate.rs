//! From the common subset of SQL, as rooms write it, to PostgreSQL's spelling.
//!
//! The rooms' statements and scripts are written once, for SQLite. What PostgreSQL spells otherwise is little: the names
//! of types, numbered parameters, and what stands after the closing bracket of a table. Text in quotes is left alone.

/// A piece of a statement.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Piece<'a> {
    /// A name, a keyword or a number.
    Word(&'a str),
    /// `?12`, without the question mark.
    Parameter(&'a str),
    /// White space and comments.
    Gap(&'a str),
    /// Text in quotes, an operator, a bracket.
    Other(&'a str),
}

impl Piece<'_> {
    fn is(self, word: &str) -> bool {
        matches!(self, Self::Word(found) if found.eq_ignore_ascii_case(word))
    }
}

fn pieces(sql: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => quoted(rest, first),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '?' => 1 + run(&rest[1..], |c| c.is_ascii_digit()),
            c if c.is_whitespace() => run(rest, char::is_whitespace),
            c if is_word(c) => run(rest, is_word),
            c => c.len_utf8(),
        };
        let (piece, after) = rest.split_at(length);
        found.push(match first {
            '?' => Piece::Parameter(&piece[1..]),
            '-' if length > 1 => Piece::Gap(piece),
            c if c.is_whitespace() => Piece::Gap(piece),
            c if is_word(c) => Piece::Word(piece),
            _ => Piece::Other(piece),
        });
        rest = after;
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length in bytes of what `text` begins with as long as `part` says so.
fn run(text: &str, part: impl Fn(char) -> bool) -> usize {
    text.find(|c| !part(c)).unwrap_or(text.len())
}

/// The length of the text in quotes that `text` begins with. A doubled quote ends one and begins the next: all the same.
fn quoted(text: &str, quote: char) -> usize {
    text[1..].find(quote).map_or(text.len(), |end| end + 2)
}

/// The place of the piece before `at`, or after it, that is no gap.
fn before(pieces: &[Piece<'_>], at: usize) -> Option<usize> {
    pieces.get(..at)?.iter().rposition(|piece| !matches!(piece, Piece::Gap(_)))
}

fn after(pieces: &[Piece<'_>], at: usize) -> Option<usize> {
    let gaps = pieces.get(at + 1..)?.iter().take_while(|piece| matches!(piece, Piece::Gap(_))).count();
    (at + 1 + gaps < pieces.len()).then_some(at + 1 + gaps)
}

/// A statement: `?1` becomes `$1`, and the types of casts bear PostgreSQL's names.
pub(super) fn statement(sql: &str) -> String {
    let pieces = pieces(sql);
    let mut out = String::with_capacity(sql.len() + 16);
    for (i, piece) in pieces.iter().enumerate() {
        match *piece {
            Piece::Parameter(number) => {
                out.push('$');
                out.push_str(number);
            }
            Piece::Word(word) if before(&pieces, i).is_some_and(|i| pieces[i].is("as")) => {
                out.push_str(cast_type(word).unwrap_or(word));
            }
            Piece::Word(text) | Piece::Gap(text) | Piece::Other(text) => out.push_str(text),
        }
    }
    out
}

fn cast_type(word: &str) -> Option<&'static str> {
    match word.to_ascii_uppercase().as_str() {
        "INTEGER" => Some("BIGINT"),
        "REAL" => Some("DOUBLE PRECISION"),
        "BLOB" => Some("BYTEA"),
        _ => None,
    }
}

/// A script of migrations: the types of columns, numbering keys, and no `STRICT` or `WITHOUT ROWID`. Text sorts by bytes, as
/// it does in SQLite.
pub(super) fn script(sql: &str) -> String {
    let pieces = pieces(sql);
    let mut out: Vec<&str> = pieces
        .iter()
        .map(|piece| match *piece {
            Piece::Word(text) | Piece::Gap(text) | Piece::Other(text) | Piece::Parameter(text) => text,
        })
        .collect();
    let mut depth = 0_i32;
    for (i, piece) in pieces.iter().enumerate() {
        match *piece {
            Piece::Other("(") => depth += 1,
            Piece::Other(")") => depth -= 1,
            Piece::Word(word) if depth == 0 && is_added(&pieces, i) => {
                column_type(&pieces, i, word, &mut out);
            }
            Piece::Word(word) if depth == 0 => drop_option(&pieces, i, word, &mut out),
            Piece::Word(word) => column_type(&pieces, i, word, &mut out),
            _ => {}
        }
    }
    out.concat()
}

/// Whether a piece is the type in `ADD COLUMN name TYPE`.
fn is_added(pieces: &[Piece<'_>], i: usize) -> bool {
    let name = before(pieces, i);
    name.and_then(|name| before(pieces, name)).is_some_and(|column| pieces[column].is("column"))
}

fn column_type(pieces: &[Piece<'_>], i: usize, word: &str, out: &mut [&str]) {
    // What opens a column is its name, whatever it is called.
    if before(pieces, i).is_some_and(|i| matches!(pieces[i], Piece::Other("(" | ","))) {
        return;
    }
    let cast = before(pieces, i).is_some_and(|i| pieces[i].is("as"));
    if let Some(name) = cast_type(word) {
        out[i] = name;
    }
    if word.eq_ignore_ascii_case("AUTOINCREMENT") {
        out[i] = "";
    }
    if word.eq_ignore_ascii_case("TEXT") && !cast {
        out[i] = "TEXT COLLATE \"C\"";
    }
    let primary = after(pieces, i).filter(|i| pieces[*i].is("primary"));
    if word.eq_ignore_ascii_case("INTEGER") && !cast && primary.is_some() {
        out[i] = "BIGINT GENERATED BY DEFAULT AS IDENTITY";
    }
}

/// Drops `STRICT` and `WITHOUT ROWID` after a table's bracket, with the comma between them.
fn drop_option(pieces: &[Piece<'_>], i: usize, word: &str, out: &mut [&str]) {
    let last = if word.eq_ignore_ascii_case("STRICT") {
        i
    } else if word.eq_ignore_ascii_case("WITHOUT") {
        match after(pieces, i).filter(|i| pieces[*i].is("rowid")) {
            Some(rowid) => rowid,
            None => return,
        }
    } else {
        return;
    };
    let (from, to) = (before(pieces, i), after(pieces, last));
    let is = |at: Option<usize>, text| at.is_some_and(|at| pieces[at] == Piece::Other(text));
    if !is(from, ")") && !is(from, ",") {
        return;
    }
    out[i..=last].fill("");
    for comma in [from, to].into_iter().flatten() {
        if pieces[comma] == Piece::Other(",") {
            out[comma] = "";
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_renumbered_outside_of_quotes_only() {
        let sql =
            "SELECT '?1', \"a?2\", ?1, CAST(?12 AS INTEGER), CAST(x AS REAL), y AS real_name -- ?3\nFROM t";
        let expected = "SELECT '?1', \"a?2\", $1, CAST($12 AS BIGINT), CAST(x AS DOUBLE PRECISION), y AS real_name -- ?3\nFROM t";
        assert_eq!(statement(sql), expected);
        assert_eq!(statement("SELECT 'it''s ?1' WHERE a = ?2"), "SELECT 'it''s ?1' WHERE a = $2");
        assert_eq!(statement("SELECT 'open ?1"), "SELECT 'open ?1");
        assert_eq!(statement("größe = ?1"), "größe = $1");
    }

    #[test]
    fn a_table_is_spelled_as_postgresql_spells_it() {
        let sql = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, r REAL, b BLOB, s TEXT DEFAULT 'TEXT', \
                   CHECK (CAST(n AS TEXT) <> '')) STRICT, WITHOUT ROWID;\n\
                   CREATE TABLE u (s TEXT PRIMARY KEY) STRICT;\n\
                   INSERT INTO u VALUES ('a'), ('STRICT');\nCREATE INDEX u_s ON u (substr(s, 1, 100));";
        let expected = "CREATE TABLE t (id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, n BIGINT NOT NULL, \
                   r DOUBLE PRECISION, b BYTEA, s TEXT COLLATE \"C\" DEFAULT 'TEXT', \
                   CHECK (CAST(n AS TEXT) <> ''))  ;\n\
                   CREATE TABLE u (s TEXT COLLATE \"C\" PRIMARY KEY) ;\n\
                   INSERT INTO u VALUES ('a'), ('STRICT');\nCREATE INDEX u_s ON u (substr(s, 1, 100));";
        assert_eq!(script(sql).replace("  ;", " ;"), expected.replace("  ;", " ;"));
    }

    #[test]
    fn a_column_may_be_called_like_a_type() {
        let said = script("CREATE TABLE t (text TEXT NOT NULL, blob BLOB) STRICT;");
        assert!(said.starts_with("CREATE TABLE t (text TEXT COLLATE \"C\" NOT NULL, blob BYTEA)"), "{said}");
    }

    #[test]
    fn an_added_column_is_spelled_as_any_other() {
        let said =
            script("ALTER TABLE t ADD COLUMN n INTEGER NOT NULL DEFAULT 0; ALTER TABLE t ADD COLUMN s TEXT;");
        let expected = "ALTER TABLE t ADD COLUMN n BIGINT NOT NULL DEFAULT 0; ALTER TABLE t ADD COLUMN s TEXT COLLATE \"C\";";
        assert_eq!(said, expected);
    }

    #[test]
    fn a_table_whose_rows_have_no_number_loses_that_too() {
        let sql = "CREATE TABLE t (a TEXT) WITHOUT ROWID, STRICT; CREATE TABLE u (a TEXT) WITHOUT ROWID;";
        let said = script(sql);
        assert!(!said.contains("STRICT") && !said.contains("ROWID") && !said.contains(','), "{said}");
    }
}
