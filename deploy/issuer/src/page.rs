//! The few pages a person sees: static HTML without scripts, every value escaped.

use crate::error::OAuthError;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use std::fmt::Write as _;

const LAYOUT: &str = include_str!("pages/layout.html");
const SIGN_IN: &str = include_str!("pages/sign_in.html");
const DEVICE: &str = include_str!("pages/device.html");
const CODE: &str = include_str!("pages/code.html");
const MESSAGE: &str = include_str!("pages/message.html");

/// What stands for a `{{name}}` in a page.
enum Value<'a> {
    Text(&'a str),
    /// Already HTML, made here from escaped parts.
    Markup(&'a str),
}

/// Fills a page in one pass, so that nothing a value holds is taken for a placeholder.
fn fill(template: &str, values: &[(&str, Value<'_>)]) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((name, after)) = after.split_once("}}") else {
            break;
        };
        match values
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
        {
            Some(Value::Text(text)) => escape(&mut out, text),
            Some(Value::Markup(markup)) => out.push_str(markup),
            None => {}
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Safe in element content and in quoted attributes.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

fn respond(status: StatusCode, title: &str, content: &str) -> Response {
    let html = fill(
        LAYOUT,
        &[("title", Value::Text(title)), ("content", Value::Markup(content))],
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        // No form-action: browsers apply it to the redirect that follows the form, and that goes to the client.
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The form must still carry its Origin to us, hence not no-referrer.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    (status, headers, html).into_response()
}

/// The question: who are you?
pub(crate) fn sign_in(carried: &[(&str, &str)], email: &str, problem: Option<&str>) -> Response {
    let mut hidden = String::new();
    for (name, value) in carried {
        let mut escaped = String::new();
        escape(&mut escaped, value);
        // Writing to a String does not fail.
        let _ = writeln!(hidden, r#"<input type="hidden" name="{name}" value="{escaped}">"#);
    }
    let client = carried
        .iter()
        .find(|(name, _)| *name == "client_id")
        .map_or("", |(_, value)| value);
    let content = fill(
        SIGN_IN,
        &[
            ("hidden", Value::Markup(&hidden)),
            ("client", Value::Text(client)),
            ("email", Value::Text(email)),
            ("problem", Value::Text(problem.unwrap_or_default())),
        ],
    );
    respond(status_for(problem), "Sign in", &content)
}

/// The same question to somebody whose client waits elsewhere.
pub(crate) fn device(user_code: &str, email: &str, problem: Option<&str>) -> Response {
    let content = fill(
        DEVICE,
        &[
            ("user_code", Value::Text(user_code)),
            ("email", Value::Text(email)),
            ("problem", Value::Text(problem.unwrap_or_default())),
        ],
    );
    respond(status_for(problem), "Sign in a device", &content)
}

fn status_for(problem: Option<&str>) -> StatusCode {
    if problem.is_some() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    }
}

/// The code, for a client that cannot listen.
pub(crate) fn code(code: &str) -> Response {
    respond(
        StatusCode::OK,
        "Your code",
        &fill(CODE, &[("code", Value::Text(code))]),
    )
}

/// A sentence.
pub(crate) fn message(title: &str, text: &str) -> Response {
    let content = fill(
        MESSAGE,
        &[("title", Value::Text(title)), ("text", Value::Text(text))],
    );
    respond(StatusCode::OK, title, &content)
}

/// A refusal that cannot be reported to the client.
pub(crate) fn refusal(error: &OAuthError) -> Response {
    let title = "This sign-in cannot go on";
    let content = fill(
        MESSAGE,
        &[
            ("title", Value::Text(title)),
            ("text", Value::Text(&error.description)),
        ],
    );
    respond(error.kind.status(), title, &content)
}

/// `GET style.css`, linked relatively so that it is found under whichever name the page was.
pub(crate) async fn stylesheet() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, include_str!("pages/style.css"))
}
