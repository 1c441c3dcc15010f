//! The beginning of what was asked and answered, for lists.
//!
//! Of a chat the last message of the side is shown, rather than the JSON around it. The shapes are those of OpenAI's
//! interfaces, which most libraries follow.

use serde_json::Value;

use crate::limits::cut;

/// The most characters of a preview.
const LONGEST: usize = 1_000;

/// The preview of a JSON text, for the side `role` of a conversation.
pub(crate) fn preview(json: &str, role: &str) -> String {
    let content = serde_json::from_str::<Value>(json).ok().and_then(|value| {
        let messages = messages(&value, 0)?;
        let of_role =
            messages.iter().rev().find(|message| message.get("role").is_some_and(|known| known == role));
        text(of_role.or(messages.last())?)
    });
    let content = content.filter(|content| !content.is_empty()).unwrap_or_else(|| json.to_owned());
    if content.chars().count() <= LONGEST { content } else { format!("{}...", cut(&content, LONGEST - 3)) }
}

fn messages(value: &Value, depth: usize) -> Option<Vec<&Value>> {
    let is_message = |item: &&Value| item.get("role").is_some() && item.get("content").is_some();
    let of_list = |key: &str| {
        let list = value.get(key)?.as_array().filter(|list| !list.is_empty())?;
        Some(list.iter().filter(is_message).collect::<Vec<_>>()).filter(|found| !found.is_empty())
    };
    let of_choice =
        || value.get("choices")?.get(0)?.get("message").filter(is_message).map(|message| vec![message]);
    of_list("messages").or_else(of_choice).or_else(|| of_list("input")).or_else(|| of_list("output")).or_else(
        || {
            if depth > 3 { None } else { messages(value.get("request")?, depth + 1) }
        },
    )
}

fn text(message: &Value) -> Option<String> {
    match message.get("content")? {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => parts.iter().find_map(|part| match part {
            Value::String(text) => Some(text.clone()),
            part => match part.get("type")?.as_str()? {
                "text" | "output_text" => part.get("text")?.as_str().map(str::to_owned),
                _ => None,
            },
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_chat_the_last_message_is_shown() {
        let chat = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text",
                       "text": "b"}]}, {"role": "assistant", "content": "c"}]}"#;
        assert_eq!(preview(chat, "user"), "b");
        assert_eq!(preview(chat, "system"), "c");
        assert_eq!(
            preview(r#"{"choices": [{"message": {"role": "assistant", "content": "d"}}]}"#, "assistant"),
            "d"
        );
        assert_eq!(preview(r#"{"request": {"input": [{"role": "user", "content": "e"}]}}"#, "user"), "e");
        assert_eq!(preview(r#"{"a": 1}"#, "user"), r#"{"a": 1}"#);
        assert_eq!(preview(r#"{"messages": [1]}"#, "user"), r#"{"messages": [1]}"#);
        assert_eq!(preview(&"x".repeat(2000), "user").len(), 1_000);
    }
}
