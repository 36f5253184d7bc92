//! Command line clients.

use super::{Instance, fetch, hello};
use crate::cli::DEFAULT_EMAIL;

/// `@sigstore/cli`, at the version the stories run.
const JS: &str = "npx --yes @sigstore/cli@0.10.3";

impl Instance {
    pub(super) fn cosign(&self) -> Vec<String> {
        let issuer = self.issuer();
        let Instance { url, root_sha256, .. } = self;
        let token = self.token();
        vec![
            format!(
                "cosign initialize --mirror {url}/tuf --root {url}/trust/root.json --root-checksum {root_sha256}"
            ),
            hello(),
            format!("cosign sign-blob --yes --identity-token {token} --bundle hello.sigstore.json hello.txt"),
            format!(
                "cosign verify-blob --bundle hello.sigstore.json --certificate-identity {DEFAULT_EMAIL} \
                 --certificate-oidc-issuer {issuer} hello.txt"
            ),
        ]
    }

    pub(super) fn python(&self) -> Vec<String> {
        let issuer = self.issuer();
        let Instance { url, .. } = self;
        let token = self.token();
        vec![
            fetch(url, "/trust/root.json", "sigbox-root.json"),
            format!("sigstore --instance {url}/tuf trust-instance sigbox-root.json"),
            hello(),
            format!(
                "sigstore --instance {url}/tuf sign --identity-token {token} --overwrite \
                 --bundle hello.python.sigstore.json hello.txt"
            ),
            format!(
                "sigstore --instance {url}/tuf verify identity --bundle hello.python.sigstore.json \
                 --cert-identity {DEFAULT_EMAIL} --cert-oidc-issuer {issuer} hello.txt"
            ),
        ]
    }

    pub(super) fn rekor_cli(&self) -> Vec<String> {
        let url = self.rekor();
        let digest = "\"$(openssl dgst -sha256 -r hello.txt | cut -c 1-64)\"";
        let entry = format!(
            "--type hashedrekord --pki-format x509 --artifact-hash {digest} --signature hello.sig --public-key hello.pub"
        );
        vec![
            hello(),
            "[ -e hello.key ] || openssl ecparam -name prime256v1 -genkey -noout -out hello.key".to_owned(),
            "openssl pkey -in hello.key -pubout -out hello.pub".to_owned(),
            "openssl dgst -sha256 -sign hello.key -out hello.sig hello.txt".to_owned(),
            format!("rekor-cli upload --rekor_server {url} {entry}"),
            format!("rekor-cli search --rekor_server {url} --sha {digest}"),
            format!("rekor-cli verify --rekor_server {url} {entry}"),
            format!("rekor-cli loginfo --rekor_server {url}"),
        ]
    }

    /// Attestations into Rekor v1 alone: the command line has no more. The token is read from the environment in CI only.
    pub(super) fn js(&self) -> Vec<String> {
        let issuer = self.issuer();
        let Instance { url, .. } = self;
        let token = self.token();
        let trust = "--tuf-root-path sigbox-root.json --tuf-cache-path \"$PWD/sigbox-tuf\"";
        vec![
            fetch(url, "/trust/root.json", "sigbox-root.json"),
            "mkdir -p sigbox-tuf".to_owned(),
            format!(
                "{JS} initialize --mirror {url}/tuf --root sigbox-root.json --cache-path \"$PWD/sigbox-tuf\" --force"
            ),
            hello(),
            concat!(
                r#"printf '{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"hello.txt","#,
                r#""digest":{"sha256":"%s"}}],"predicateType":"https://example.com/greeting/v1","predicate":{}}' "#,
                r#""$(openssl dgst -sha256 -r hello.txt | cut -c 1-64)" > hello.statement.json"#
            )
            .to_owned(),
            format!(
                "CI=true SIGSTORE_ID_TOKEN={token} {JS} attest --fulcio-url {} --rekor-url {} \
                 --tsa-server-url {} --timeout 20 -o hello.js.sigstore.json hello.statement.json",
                self.fulcio(),
                self.rekor(),
                self.tsa(),
            ),
            format!(
                "{JS} verify --tuf-mirror-url {url}/tuf {trust} --certificate-issuer {issuer} \
                 --certificate-identity-email {DEFAULT_EMAIL} hello.js.sigstore.json"
            ),
        ]
    }

    /// For the repository in the working directory. gitsign takes some of its trust from where cosign keeps it and the rest
    /// from files. No timestamps: it refuses one of the second in which the certificate was issued (gitsign
    /// `internal/fork/ietf-cms/verify.go`, because of the accuracy), and the log's time suffices.
    pub(super) fn gitsign(&self) -> Vec<String> {
        let issuer = self.issuer();
        let Instance { url, root_sha256, .. } = self;
        vec![
            format!(
                "cosign initialize --mirror {url}/tuf --root {url}/trust/root.json --root-checksum {root_sha256}"
            ),
            fetch(url, "/tuf/targets/rekor.pub", "sigbox-rekor.pub"),
            fetch(url, "/tuf/targets/ctfe.pub", "sigbox-ctfe.pub"),
            fetch(self.fulcio(), "/api/v1/rootCert", "sigbox-fulcio.pem"),
            format!("git config --local gitsign.fulcio {}", self.fulcio()),
            format!("git config --local gitsign.rekor {}", self.rekor()),
            format!("git config --local gitsign.issuer {issuer}"),
            "git config --local gpg.format x509".to_owned(),
            "git config --local gpg.x509.program gitsign".to_owned(),
            "git config --local commit.gpgsign true".to_owned(),
            "export SIGSTORE_REKOR_PUBLIC_KEY=\"$PWD/sigbox-rekor.pub\" SIGSTORE_ROOT_FILE=\"$PWD/sigbox-fulcio.pem\" \
             SIGSTORE_CT_LOG_PUBLIC_KEY_FILE=\"$PWD/sigbox-ctfe.pub\""
                .to_owned(),
            "git commit --allow-empty -m \"signed with gitsign\"".to_owned(),
            format!(
                "gitsign verify --certificate-identity={DEFAULT_EMAIL} --certificate-oidc-issuer={issuer} HEAD"
            ),
        ]
    }
}
