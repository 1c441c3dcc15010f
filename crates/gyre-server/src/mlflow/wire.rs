//! JSON as Protocol Buffers write it (proto3 JSON mapping), with MLflow's habits.
//!
//! Whole numbers of 64 bits come as numbers or as text, and go as numbers. `NaN` and `Infinity` come and go as text. A
//! field that is null is a field that is not there. Text stands for any scalar where the request came as a query. Unknown
//! fields are ignored, both spellings of one field are refused.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A whole number of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Int64(pub(crate) i64);

impl<'de> Deserialize<'de> for Int64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl Visitor<'_> for Whole {
            type Value = Int64;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number from -2^63 to 2^63-1")
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Int64, E> {
                Ok(Int64(number))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Int64, E> {
                i64::try_from(number)
                    .map(Int64)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(number), &self))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Int64, E> {
                // 2^63 as a double; beyond it a conversion would not be exact.
                let fits = number.fract() == 0.0
                    && (-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&number);
                if fits {
                    Ok(Int64(number as i64))
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Float(number), &self))
                }
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Int64, E> {
                let parsed = text.trim().parse().map(Int64);
                parsed.map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Whole)
    }
}

impl Serialize for Int64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

/// A number that may be NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Double(pub(crate) f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Double;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or \"NaN\", \"Infinity\", \"-Infinity\"")
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Double, E> {
                Ok(Double(number))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Double, E> {
                Ok(Double(number as f64))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Double, E> {
                Ok(Double(number as f64))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Double, E> {
                // Rust also reads "inf" and "nan", which no client of this protocol writes.
                let parsed = match text {
                    "NaN" => Some(f64::NAN),
                    "Infinity" => Some(f64::INFINITY),
                    "-Infinity" => Some(f64::NEG_INFINITY),
                    other if other.bytes().any(|byte| byte.is_ascii_digit()) => other.parse().ok(),
                    _ => None,
                };
                parsed.map(Double).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Number)
    }
}

impl Serialize for Double {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = self.0;
        if number.is_finite() {
            serializer.serialize_f64(number)
        } else if number.is_nan() {
            serializer.serialize_str("NaN")
        } else {
            serializer.serialize_str(if number > 0.0 { "Infinity" } else { "-Infinity" })
        }
    }
}

/// Whether something is so; a query says it in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flag(pub(crate) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Truth;
        impl Visitor<'_> for Truth {
            type Value = Flag;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false")
            }
            fn visit_bool<E: Error>(self, truth: bool) -> Result<Flag, E> {
                Ok(Flag(truth))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Flag, E> {
                match text {
                    "true" | "True" => Ok(Flag(true)),
                    "false" | "False" => Ok(Flag(false)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Truth)
    }
}

/// A name of an enumeration, or its number as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Word;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or its number")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Word, E> {
                Ok(Word(text.to_owned()))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }
        }
        deserializer.deserialize_any(Name)
    }
}

/// A key and its value, as tags and parameters come.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Pair {
    key: Option<String>,
    value: Option<String>,
}

/// Keys and values, each with a key.
pub(crate) fn pairs(what: &str, list: Vec<Pair>) -> Result<Vec<(String, String)>, super::MlflowError> {
    let pair = |(place, pair): (usize, Pair)| match pair.key.filter(|key| !key.is_empty()) {
        Some(key) => Ok((key, pair.value.unwrap_or_default())),
        None => Err(super::MlflowError::missing(&format!("{what}[{place}].key"))),
    };
    list.into_iter().enumerate().map(pair).collect()
}

/// A repeated field: a list, one value (a query that names it once), or null for none. For
/// `#[serde(default, deserialize_with = "wire::list")]`.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Several<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Several<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_unit<E: Error>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
            Ok(vec![T::deserialize(text.into_deserializer())?])
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                list.push(item);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_any(Several(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_str, to_string};

    #[test]
    fn whole_numbers_come_as_numbers_or_text_and_go_as_numbers() {
        for text in ["7", "\"7\"", "7.0"] {
            assert_eq!(from_str::<Int64>(text).unwrap(), Int64(7), "{text}");
        }
        assert_eq!(from_str::<Int64>("\"-9223372036854775808\"").unwrap(), Int64(i64::MIN));
        for text in ["7.5", "\"x\"", "true", "9223372036854775808", "1e300", "[]"] {
            assert!(from_str::<Int64>(text).is_err(), "{text}");
        }
        assert_eq!(to_string(&Int64(i64::MAX)).unwrap(), "9223372036854775807");
    }

    #[test]
    fn what_is_no_number_goes_as_text() {
        assert!(from_str::<Double>("\"NaN\"").unwrap().0.is_nan());
        assert_eq!(from_str::<Double>("\"-Infinity\"").unwrap().0, f64::NEG_INFINITY);
        assert_eq!(from_str::<Double>("\"1e3\"").unwrap().0, 1000.0);
        for text in ["\"x\"", "\"inf\"", "\"nan\"", "NaN", "true", "\"\""] {
            assert!(from_str::<Double>(text).is_err(), "{text}");
        }
        assert_eq!(to_string(&[Double(f64::NAN), Double(0.1)]).unwrap(), "[\"NaN\",0.1]");
    }

    #[test]
    fn a_repeated_field_may_be_one_or_none() {
        #[derive(Deserialize)]
        struct Asked {
            #[serde(default, deserialize_with = "list")]
            ids: Vec<Int64>,
        }
        for (text, count) in
            [("{}", 0), ("{\"ids\":null}", 0), ("{\"ids\":\"1\"}", 1), ("{\"ids\":[1,\"2\"]}", 2)]
        {
            assert_eq!(from_str::<Asked>(text).unwrap().ids.len(), count, "{text}");
        }
        assert!(from_str::<Asked>("{\"ids\":{}}").is_err());
    }
}
