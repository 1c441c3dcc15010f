//! NumPy's array files (the NPY format, versions 1 to 3): numbers, text, and records. Arrays of objects, which are pickles,
//! are refused.

use super::node::Plain;
use crate::error::Problem;
use crate::limits::Limits;

/// An array.
#[derive(Debug)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) elements: Elements,
}

/// Elements in row-major order.
#[derive(Debug)]
pub(super) enum Elements {
    Numbers(Vec<f64>),
    Integers(Vec<i64>),
    Flags(Vec<bool>),
    Texts(Vec<String>),
    Records(Records),
    /// Of an array of objects that was described one by one.
    Objects(Vec<Plain>),
}

/// Structures of numbers.
#[derive(Debug)]
pub(super) struct Records {
    fields: Vec<(String, Kind, usize)>,
    size: usize,
    bytes: Vec<u8>,
}

/// Type of a value, little endian.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Float(usize),
    Signed(usize),
    Unsigned(usize),
    Flag,
    /// Characters of four bytes.
    Text(usize),
    /// Filling.
    Void(usize),
}

/// Largest description of an array, in bytes.
const MOST_HEADER: usize = 1 << 16;
/// Most texts of an array, which take more memory than bytes.
const MOST_TEXTS: usize = 1 << 20;
/// Most numbers of an array.
const MOST_NUMBERS: usize = Limits::DEFAULT.tensor_elements;

impl Array {
    /// Reads a file.
    pub(super) fn read(file: &[u8]) -> Result<Array, Problem> {
        let rest = file.strip_prefix(b"\x93NUMPY").ok_or("is not an array of NumPy")?;
        let (length, rest) = match rest {
            [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
            [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
            _ => return Err("is of an unknown version, or truncated".into()),
        };
        if length > MOST_HEADER {
            return Err(format!("has a header of {length} bytes"));
        }
        let (header, data) = rest.split_at_checked(length).ok_or("is truncated")?;
        let header = std::str::from_utf8(header).map_err(|_| "has a header that is not text")?;
        let header = Literal::parse(header)?;
        let shape = header.get("shape").and_then(Literal::indices).ok_or("has no shape")?;
        let by_column = matches!(header.get("fortran_order"), Some(Literal::Flag(true))) && shape.len() > 1;
        if by_column && shape.len() > 2 {
            return Err("has more than two dimensions by column".into());
        }
        let count =
            shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).ok_or("has an impossible shape")?;
        let description = header.get("descr").ok_or("has no type")?;
        let fields = match description {
            Literal::Text(kind) => vec![(String::new(), Kind::parse(kind)?, 0)],
            Literal::List(fields) => {
                let mut at = 0usize;
                let mut out = Vec::with_capacity(fields.len());
                for field in fields {
                    let Literal::List(pair) = field else {
                        return Err("has a type that is not known".into());
                    };
                    let [Literal::Text(name), Literal::Text(kind)] = pair.as_slice() else {
                        return Err("has a type that is not known".into());
                    };
                    let kind = Kind::parse(kind)?;
                    out.push((name.clone(), kind, at));
                    at = at.checked_add(kind.size()).ok_or("has a record of an impossible size")?;
                }
                out
            }
            _ => return Err("has a type that is not known".into()),
        };
        let size = fields.last().map_or(0, |(_, kind, at)| at + kind.size());
        let bytes = count.checked_mul(size).and_then(|n| data.get(..n)).ok_or("is truncated")?;
        let elements = match (description, fields.first()) {
            (Literal::Text(_), Some((_, kind, _))) => {
                let most =
                    if matches!(kind, Kind::Text(_) | Kind::Void(_)) { MOST_TEXTS } else { MOST_NUMBERS };
                if count > most {
                    return Err(format!("has {count} elements, at most {most} are read"));
                }
                let value = |at: usize| bytes.get(at * size..(at + 1) * size);
                match (by_column, shape.as_slice()) {
                    (true, [rows, columns]) => {
                        let order = (0..*rows).flat_map(|r| (0..*columns).map(move |c| c * rows + r));
                        kind.elements(order.filter_map(value))
                    }
                    _ => kind.elements((0..count).filter_map(value)),
                }
            }
            _ if by_column => return Err("has records by column".into()),
            _ => Elements::Records(Records { fields, size, bytes: bytes.to_vec() }),
        };
        Ok(Array { shape, elements })
    }

    /// Number of elements.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The elements as numbers; what is missing among objects is NaN.
    pub(super) fn numbers(&self) -> Result<Vec<f64>, Problem> {
        match &self.elements {
            Elements::Numbers(v) => Ok(v.clone()),
            Elements::Integers(v) => Ok(v.iter().map(|x| *x as f64).collect()),
            Elements::Flags(v) => Ok(v.iter().map(|x| f64::from(u8::from(*x))).collect()),
            Elements::Objects(v) => {
                let number = |x: &Plain| if *x == Plain::Nothing { Some(f64::NAN) } else { x.number() };
                v.iter()
                    .map(number)
                    .collect::<Option<_>>()
                    .ok_or_else(|| "holds text, expected numbers".into())
            }
            Elements::Texts(_) | Elements::Records(_) => Err("does not hold numbers".into()),
        }
    }

    /// The records.
    pub(super) fn records(&self) -> Result<&Records, Problem> {
        match &self.elements {
            Elements::Records(records) => Ok(records),
            _ => Err("does not hold records".into()),
        }
    }
}

impl Records {
    pub(super) fn len(&self) -> usize {
        self.bytes.len().checked_div(self.size).unwrap_or(0)
    }

    /// One field of all records.
    pub(super) fn field(&self, name: &str) -> Result<Vec<f64>, Problem> {
        let (_, kind, at) =
            self.fields.iter().find(|(n, _, _)| n == name).ok_or_else(|| format!("has no field {name}"))?;
        let values = self.bytes.chunks_exact(self.size.max(1)).filter_map(|r| r.get(*at..at + kind.size()));
        Array { shape: vec![self.len()], elements: kind.elements(values) }.numbers()
    }
}

impl Kind {
    fn parse(text: &str) -> Result<Kind, Problem> {
        let unknown = || format!("has elements of type {text:?}, which is not supported");
        let (order, rest) = text.split_at_checked(1).ok_or_else(unknown)?;
        let (letter, size) = rest.split_at_checked(1).ok_or_else(unknown)?;
        let size: usize = size.parse().map_err(|_| unknown())?;
        if !(matches!(order, "<" | "|") && size <= MOST_HEADER) {
            return Err(unknown());
        }
        Ok(match (letter, size) {
            ("f", 4 | 8) => Kind::Float(size),
            ("i", 1 | 2 | 4 | 8) => Kind::Signed(size),
            ("u", 1 | 2 | 4 | 8) => Kind::Unsigned(size),
            ("b", 1) => Kind::Flag,
            ("U", size) => Kind::Text(size),
            ("V", size) => Kind::Void(size),
            _ => return Err(unknown()),
        })
    }

    fn size(self) -> usize {
        match self {
            Kind::Float(n) | Kind::Signed(n) | Kind::Unsigned(n) | Kind::Void(n) => n,
            Kind::Flag => 1,
            Kind::Text(characters) => characters * 4,
        }
    }

    fn elements<'a>(self, values: impl Iterator<Item = &'a [u8]>) -> Elements {
        /// Eight bytes of a number, filled with `fill`.
        fn wide(bytes: &[u8], fill: u8) -> [u8; 8] {
            let mut out = [fill; 8];
            out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            out
        }
        let signed = |bytes: &[u8]| {
            let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
            i64::from_le_bytes(wide(bytes, if negative { 0xff } else { 0 }))
        };
        let float = |bytes: &[u8]| match bytes {
            [a, b, c, d] => f64::from(f32::from_le_bytes([*a, *b, *c, *d])),
            bytes => f64::from_le_bytes(wide(bytes, 0)),
        };
        let text = |bytes: &[u8]| -> String {
            let codes = bytes.as_chunks::<4>().0.iter().map(|c| u32::from_le_bytes(*c));
            codes.take_while(|code| *code != 0).filter_map(char::from_u32).collect()
        };
        match self {
            Kind::Float(_) => Elements::Numbers(values.map(float).collect()),
            Kind::Signed(_) => Elements::Integers(values.map(signed).collect()),
            Kind::Unsigned(8) => {
                Elements::Numbers(values.map(|b| u64::from_le_bytes(wide(b, 0)) as f64).collect())
            }
            Kind::Unsigned(_) => Elements::Integers(values.map(|b| i64::from_le_bytes(wide(b, 0))).collect()),
            Kind::Flag => Elements::Flags(values.map(|b| b.first().is_some_and(|b| *b != 0)).collect()),
            Kind::Text(_) => Elements::Texts(values.map(text).collect()),
            Kind::Void(_) => Elements::Texts(Vec::new()),
        }
    }
}

/// A literal of Python, as far as headers have them.
#[derive(Debug)]
enum Literal {
    Text(String),
    Number(u64),
    Flag(bool),
    /// A tuple or a list.
    List(Vec<Literal>),
    Map(Vec<(String, Literal)>),
}

impl Literal {
    fn parse(text: &str) -> Result<Literal, Problem> {
        let mut rest = text;
        Self::next(&mut rest, 0)
    }

    fn next(rest: &mut &str, depth: usize) -> Result<Literal, Problem> {
        let wrong = || "has a header that cannot be read".to_owned();
        if depth > 4 {
            return Err(wrong());
        }
        *rest = rest.trim_start();
        let first = rest.chars().next().ok_or_else(wrong)?;
        let after = &rest[first.len_utf8()..];
        Ok(match first {
            '\'' | '"' => {
                let (text, after) = after.split_once(first).ok_or_else(wrong)?;
                *rest = after;
                Literal::Text(text.to_owned())
            }
            '0'..='9' => {
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                let number = rest[..end].parse().map_err(|_| wrong())?;
                *rest = &rest[end..];
                Literal::Number(number)
            }
            '(' | '[' | '{' => {
                let close = match first {
                    '(' => ')',
                    '[' => ']',
                    _ => '}',
                };
                *rest = after;
                let (mut list, mut map) = (Vec::new(), Vec::new());
                loop {
                    *rest = rest.trim_start();
                    if let Some(after) = rest.strip_prefix(close) {
                        *rest = after;
                        break;
                    }
                    let value = Self::next(rest, depth + 1)?;
                    *rest = rest.trim_start();
                    match (first, value) {
                        ('{', Literal::Text(key)) => {
                            *rest = rest.strip_prefix(':').ok_or_else(wrong)?;
                            map.push((key, Self::next(rest, depth + 1)?));
                            *rest = rest.trim_start();
                        }
                        ('{', _) => return Err(wrong()),
                        (_, value) => list.push(value),
                    }
                    match rest.strip_prefix(',') {
                        Some(after) => *rest = after,
                        None if rest.starts_with(close) => {}
                        None => return Err(wrong()),
                    }
                }
                if first == '{' { Literal::Map(map) } else { Literal::List(list) }
            }
            _ => {
                let (flag, after) = rest
                    .strip_prefix("True")
                    .map(|after| (true, after))
                    .or_else(|| rest.strip_prefix("False").map(|after| (false, after)))
                    .ok_or_else(wrong)?;
                *rest = after;
                Literal::Flag(flag)
            }
        })
    }

    fn get(&self, key: &str) -> Option<&Literal> {
        match self {
            Literal::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    fn indices(&self) -> Option<Vec<usize>> {
        let Literal::List(list) = self else { return None };
        let index = |literal: &Literal| match literal {
            Literal::Number(n) => usize::try_from(*n).ok(),
            _ => None,
        };
        list.iter().map(index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        out.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        out.extend(header.as_bytes());
        out.extend(data);
        out
    }

    #[test]
    fn arrays_by_row_and_by_column() {
        let header =
            |by_column| format!("{{'descr': '<i2', 'fortran_order': {by_column}, 'shape': (2, 3), }}\n");
        let data: Vec<u8> = [1i16, 2, 3, 4, 5, -6].iter().flat_map(|x| x.to_le_bytes()).collect();
        let read = |by_column| Array::read(&file(&header(by_column), &data)).unwrap().numbers().unwrap();
        assert_eq!(read("False"), [1.0, 2.0, 3.0, 4.0, 5.0, -6.0]);
        assert_eq!(read("True"), [1.0, 3.0, 5.0, 2.0, 4.0, -6.0]);
    }

    #[test]
    fn records_with_filling() {
        let header = "{'descr': [('a', '<i8'), ('b', '|u1'), ('', '|V3'), ('c', '<f4')], 'fortran_order': False, 'shape': (2,)}";
        let mut data = Vec::new();
        for (a, b, c) in [(1i64, 2u8, 0.5f32), (-3, 255, 1.5)] {
            data.extend(a.to_le_bytes());
            data.extend([b, 9, 9, 9]);
            data.extend(c.to_le_bytes());
        }
        let array = Array::read(&file(header, &data)).unwrap();
        let records = array.records().unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(records.field("a").unwrap(), [1.0, -3.0]);
        assert_eq!(records.field("b").unwrap(), [2.0, 255.0]);
        assert_eq!(records.field("c").unwrap(), [0.5, 1.5]);
    }

    #[test]
    fn objects_and_impossible_sizes_are_refused() {
        for (descr, shape) in [
            ("'|O'", "(1,)"),
            ("'<f8'", "(99999999999999999999,)"),
            ("'<f8'", "(4294967296, 4294967296)"),
            ("'<f8'", "(3,)"),
        ] {
            let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}");
            assert!(Array::read(&file(&header, &[0; 16])).is_err(), "{descr} {shape}");
        }
        assert!(Array::read(&file(&"(".repeat(1000), &[])).is_err());
        assert!(Array::read(b"\x93NUMPY\x01\x00\xff").is_err());
    }
}
