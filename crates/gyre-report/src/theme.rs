//! The one style sheet of reports and control room: calm, dense, system fonts, light and dark, and fit for print.
//!
//! It is plain CSS text without any `url()` or `@import`, so that a page is complete in itself.

/// The style sheet, as it goes into a `<style>` element.
pub const CSS: &str = include_str!("theme.css");

#[cfg(test)]
mod tests {
    use super::CSS;

    #[test]
    fn the_style_sheet_loads_nothing_and_cannot_end_its_element() {
        for word in ["url(", "@import", "http:", "https:", "</", "expression("] {
            assert!(!CSS.contains(word), "{word}");
        }
        assert_eq!(CSS.matches('{').count(), CSS.matches('}').count());
    }

    #[test]
    fn every_tone_and_colour_has_a_rule() {
        for tone in ["ok", "warn", "bad", "info"] {
            assert!(CSS.contains(&format!(".{tone} {{")), "{tone}");
        }
        for colour in 0..crate::svg::COLOURS {
            assert!(CSS.contains(&format!(".c{colour} {{")), "{colour}");
        }
        for level in 0..6 {
            assert!(CSS.contains(&format!(".h{level} {{")), "{level}");
        }
    }
}
