//! The badge, drawn here: nobody else learns who looks at it.

use std::fmt::Write as _;

/// What a badge may look like; the names are those of shields.io, to which upstream redirects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Flat,
    FlatSquare,
    Plastic,
    ForTheBadge,
    Social,
}

impl Style {
    pub(crate) const ALL: [(&'static str, Style); 5] = [
        ("flat", Style::Flat),
        ("flat-square", Style::FlatSquare),
        ("plastic", Style::Plastic),
        ("for-the-badge", Style::ForTheBadge),
        ("social", Style::Social),
    ];

    pub(crate) fn parse(name: &str) -> Option<Style> {
        Style::ALL
            .into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, style)| style)
    }

    fn look(self) -> Look {
        let flat = Look {
            height: 20,
            baseline: 14,
            radius: 3,
            gradient: true,
            upper: false,
            left: ("#555", "#fff"),
            padding: 6,
        };
        match self {
            Style::Flat => flat,
            Style::FlatSquare => Look {
                radius: 0,
                gradient: false,
                ..flat
            },
            Style::Plastic => Look {
                radius: 4,
                height: 18,
                baseline: 13,
                ..flat
            },
            Style::ForTheBadge => Look {
                height: 28,
                baseline: 18,
                radius: 0,
                gradient: false,
                upper: true,
                padding: 11,
                ..flat
            },
            Style::Social => Look {
                gradient: false,
                left: ("#ebebeb", "#333"),
                ..flat
            },
        }
    }
}

struct Look {
    height: u32,
    baseline: u32,
    radius: u32,
    gradient: bool,
    upper: bool,
    left: (&'static str, &'static str),
    padding: u32,
}

const LABEL: &str = "openssf scorecard";

/// Background for a score: the darker half of a scale from red to green, on which white text can be read (WCAG 1.4.3).
fn color(score: f64) -> &'static str {
    match score {
        score if score < 0.0 => "#666",
        score if score < 2.0 => "#b3261e",
        score if score < 5.0 => "#b04a00",
        score if score < 7.0 => "#7a6000",
        score if score < 9.0 => "#4c6b00",
        _ => "#1e7a1e",
    }
}

/// Draws a badge with `score`, or without one where nothing is published; `title` is read aloud and shown on hovering.
/// Whoever opens the picture itself can follow it to `link`.
pub(crate) fn draw(style: Style, score: Option<f64>, title: &str, link: &str) -> String {
    let look = style.look();
    let value = match score {
        Some(score) if score >= 0.0 => format!("{score:.1}"),
        Some(_) => "inconclusive".to_owned(),
        None => "no result".to_owned(),
    };
    let cased = |text: &str| {
        if look.upper {
            text.to_uppercase()
        } else {
            text.to_owned()
        }
    };
    let (label, value) = (cased(LABEL), cased(&value));
    let (left, right) = (half(&label, &look), half(&value, &look));
    let width = left.saturating_add(right);
    let height = look.height;
    let (label_fill, label_text) = look.left;
    let value_fill = color(score.unwrap_or(-1.0));
    let baseline = look.baseline;
    let (title, link) = (escape(title), escape(link));

    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" aria-label="{title}"><title>{title}</title><a href="{link}"><clipPath id="r"><rect width="{width}" height="{height}" rx="{radius}"/></clipPath><g clip-path="url(#r)"><rect width="{left}" height="{height}" fill="{label_fill}"/><rect x="{left}" width="{right}" height="{height}" fill="{value_fill}"/>"##,
        radius = look.radius,
    );
    if look.gradient {
        let _ = write!(
            svg,
            r##"<linearGradient id="g" x2="0" y2="100%"><stop offset="0" stop-color="#fff" stop-opacity=".12"/><stop offset="1" stop-opacity=".12"/></linearGradient><rect width="{width}" height="{height}" fill="url(#g)"/>"##,
        );
    }
    svg.push_str(r##"</g><g font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11" text-anchor="middle">"##);
    let half_right = left.saturating_add(right / 2);
    for (text, fill, x, room) in [
        (&label, label_text, left / 2, left),
        (&value, "#fff", half_right, right),
    ] {
        let length = room.saturating_sub(look.padding.saturating_mul(2));
        let _ = write!(
            svg,
            r##"<text x="{x}" y="{baseline}" fill="{fill}" textLength="{length}">{}</text>"##,
            escape(text),
        );
    }
    svg.push_str("</g></a></svg>\n");
    svg
}

/// Width of one half. Fonts differ, so the text is told how long to be (`textLength`): seven units for a letter of Verdana 11,
/// and more for capitals.
fn half(text: &str, look: &Look) -> u32 {
    let letter = if look.upper { 8 } else { 7 };
    let letters = u32::try_from(text.chars().count()).unwrap_or_default();
    letters
        .saturating_mul(letter)
        .saturating_add(look.padding.saturating_mul(2))
}

fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, c| {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
        escaped
    })
}
