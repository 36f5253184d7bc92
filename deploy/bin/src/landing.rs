//! The page at `/` and the files around it: what this is, and the lines to paste.

use clap::ValueEnum;

use crate::cli::Client;
use crate::paste::Instance;

/// The page as HTML. It calls the program by its name: where it is on the server is nobody's business and no use elsewhere.
pub(crate) fn page(instance: &Instance) -> String {
    let instance = &Instance {
        sigbox: "sigbox".to_owned(),
        ..instance.clone()
    };
    let mut sections = String::new();
    for (title, client) in [("cosign", Client::Cosign), ("sigstore-python", Client::Python)] {
        let lines = escape(&instance.lines(client).join("\n"));
        sections.push_str(&format!("<h2>{title}</h2>\n<pre>{lines}</pre>\n"));
    }
    let links: Vec<String> = Client::value_variants()
        .iter()
        .map(|client| format!("<a href=\"/setup/{0}\">{0}</a>", client.name()))
        .collect();
    sections.push_str(&format!("<h2>Every client</h2>\n<p>{}</p>\n", links.join(", ")));
    let url = escape(&instance.url);
    let tokens = match instance.issuer {
        None => "<a href=\"/oidc/.well-known/openid-configuration\">token issuer</a>, ",
        Some(_) => "",
    };
    format!(
        r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>sigbox at {url}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 60rem; margin: 3rem auto; padding: 0 1rem }}
form {{ display: flex; flex-wrap: wrap; gap: .5rem; align-items: center }}
input {{ flex: 1; min-width: 14rem; padding: .4rem .6rem; font: inherit }}
button {{ padding: .4rem .9rem; font: inherit }}
pre {{ overflow-x: auto; padding: .75rem 1rem; border: 1px solid #8886; border-radius: .4rem; font-size: .85rem }}
</style>
<h1>sigbox</h1>
<p>A private Sigstore: certificates bound to an identity for ten minutes (Fulcio), transparency logs of signatures
(Rekor v1 and v2), timestamps, and the trust repository that clients start from. This instance is {url}.</p>
<form action="/search" method="get" role="search"><label for="q">Search the logs</label>
<input id="q" name="q" type="search" maxlength="512" placeholder="dev@example.com, org/repo, sha256:…"> <button>Search</button>
<a href="/search">newest entries</a></form>
{sections}<h2>For machines</h2>
<p><a href="/api/sigbox/v1/openapi.json">search interface</a>,
<a href="/trust/root.json">root.json</a>, <a href="/trust/trusted_root.json">trusted_root.json</a>,
<a href="/trust/signing_config.v0.2.json">signing_config.v0.2.json</a>,
<a href="/trust/signing_config_rekor_v2.v0.2.json">signing_config_rekor_v2.v0.2.json</a>,
<a href="/trust/client_trust_config.json">client_trust_config.json</a>,
{tokens}<a href="/api/v1/log">Rekor v1 log</a>,
<a href="/api/v2/checkpoint">Rekor v2 checkpoint</a>, <a href="/readyz">readiness</a>.</p>
</html>
"#
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paste::Elsewhere;

    #[test]
    fn text_from_outside_is_escaped() {
        let instance = Instance {
            url: "http://localhost:3000/<b>&\"".to_owned(),
            tls_url: "https://localhost:3443".to_owned(),
            root_sha256: "00".repeat(32),
            sigbox: "sigbox".to_owned(),
            issuer: None,
            elsewhere: Elsewhere::default(),
        };
        let page = page(&instance);
        assert!(
            page.contains("http://localhost:3000/&lt;b&gt;&amp;&quot;") && !page.contains("<b>"),
            "{page}"
        );
        assert!(
            page.contains("&gt; hello.txt"),
            "redirections survive the escaping"
        );
    }
    #[test]
    fn the_path_of_the_program_is_not_published() {
        let page = page(&Instance {
            url: "http://localhost:3000".to_owned(),
            tls_url: "https://localhost:3443".to_owned(),
            root_sha256: "00".repeat(32),
            sigbox: "/home/somebody/build/sigbox".to_owned(),
            issuer: None,
            elsewhere: Elsewhere::default(),
        });
        assert!(
            !page.contains("somebody") && page.contains("$(sigbox token)"),
            "{page}"
        );
    }
}
