//! Clusters, container engines and CI systems. Where a name is yours to choose it is `registry.example.com/team` here.

use super::{Instance, dedent, fetch, unless_there};
use crate::cli::DEFAULT_EMAIL;

/// The images that the policies speak of.
const IMAGES: &str = "registry.example.com/team";

impl Instance {
    pub(super) fn policy_controller(&self) -> Vec<String> {
        let issuer = self.issuer();
        let (url, fulcio, rekor) = (&self.url, self.fulcio(), self.rekor());
        dedent(&format!(
            r#"
            kubectl apply -f - <<EOF
            apiVersion: policy.sigstore.dev/v1alpha1
            kind: TrustRoot
            metadata:
              name: sigbox
            spec:
              remote:
                mirror: {url}/tuf
                root: $(curl -fsS {url}/trust/root.json | base64 | tr -d '\n')
            ---
            apiVersion: policy.sigstore.dev/v1beta1
            kind: ClusterImagePolicy
            metadata:
              name: signed-by-us
            spec:
              images:
                - glob: {IMAGES}/**
              authorities:
                - keyless:
                    url: {fulcio}
                    trustRootRef: sigbox
                    identities:
                      - issuer: {issuer}
                        subject: {DEFAULT_EMAIL}
                  ctlog:
                    url: {rekor}
                    trustRootRef: sigbox
            EOF
            "#
        ))
    }

    /// Trust once for the whole controller, then a policy that names the signer.
    pub(super) fn kyverno(&self) -> Vec<String> {
        let issuer = self.issuer();
        let (url, rekor) = (&self.url, self.rekor());
        let mut lines = vec![
            fetch(url, "/trust/root.json", "sigbox-root.json"),
            format!(
                "helm upgrade --install kyverno kyverno/kyverno --namespace kyverno --create-namespace \
                 --set features.tuf.enabled=true --set features.tuf.mirror={url}/tuf \
                 --set-file features.tuf.rootRaw=sigbox-root.json"
            ),
        ];
        lines.extend(dedent(&format!(
            r#"
            kubectl apply -f - <<'EOF'
            apiVersion: kyverno.io/v1
            kind: ClusterPolicy
            metadata:
              name: signed-by-us
            spec:
              rules:
                - name: signature
                  match:
                    any:
                      - resources:
                          kinds: [Pod]
                  verifyImages:
                    - imageReferences: ["{IMAGES}/*"]
                      failureAction: Enforce
                      type: SigstoreBundle
                      attestors:
                        - entries:
                            - keyless:
                                issuer: {issuer}
                                subject: {DEFAULT_EMAIL}
                                rekor:
                                  url: {rekor}
            EOF
            "#
        )));
        lines
    }

    /// `trustedRootSecretRef` came with Flux 2.9.
    pub(super) fn flux(&self) -> Vec<String> {
        let issuer = self.issuer();
        let url = &self.url;
        let mut lines = vec![
            fetch(url, "/trust/trusted_root.json", "sigbox-trusted-root.json"),
            "kubectl --namespace flux-system create secret generic sigbox-trusted-root \
             --from-file=trusted_root.json=sigbox-trusted-root.json"
                .to_owned(),
        ];
        // The matchers are regular expressions.
        let (issuer, subject) = (escaped(&issuer), escaped(DEFAULT_EMAIL));
        lines.extend(dedent(&format!(
            r#"
            kubectl apply -f - <<'EOF'
            apiVersion: source.toolkit.fluxcd.io/v1
            kind: OCIRepository
            metadata:
              name: app
              namespace: flux-system
            spec:
              interval: 10m
              url: oci://{IMAGES}/app
              ref:
                tag: latest
              verify:
                provider: cosign
                trustedRootSecretRef:
                  name: sigbox-trusted-root
                matchOIDCIdentity:
                  - issuer: '^{issuer}$'
                    subject: '^{subject}$'
            EOF
            "#
        )));
        lines
    }

    /// For podman, CRI-O, skopeo and buildah; as root. Sign with `cosign sign --new-bundle-format=false`: they read signatures
    /// that are attached, and the time of Rekor v1. A policy that is there is the administrator's. Without one no image is taken,
    /// so one of ours refuses all others too.
    pub(super) fn podman(&self) -> Vec<String> {
        let issuer = self.issuer();
        let url = &self.url;
        let keys = "/etc/pki/sigbox";
        let policy = "/etc/containers/policy.json";
        let ours = "/etc/containers/sigbox-policy.json";
        let mut lines = vec![
            format!("mkdir -p {keys} /etc/containers/registries.d"),
            format!(
                "curl -fsS {url}/tuf/targets/fulcio_intermediate_v1.crt.pem {url}/tuf/targets/fulcio_v1.crt.pem > {keys}/fulcio.pem"
            ),
            format!("curl -fsS {url}/tuf/targets/rekor.pub > {keys}/rekor.pub"),
        ];
        lines.extend(dedent(&format!(
            r#"
            cat > /etc/containers/registries.d/sigbox.yaml <<'EOF'
            docker:
              {IMAGES}:
                use-sigstore-attachments: true
            EOF
            cat > {ours} <<'EOF'
            {{
              "default": [{{ "type": "reject" }}],
              "transports": {{
                "docker": {{
                  "{IMAGES}": [
                    {{
                      "type": "sigstoreSigned",
                      "fulcio": {{
                        "caPath": "{keys}/fulcio.pem",
                        "oidcIssuer": "{issuer}",
                        "subjectEmail": "{DEFAULT_EMAIL}"
                      }},
                      "rekorPublicKeyPath": "{keys}/rekor.pub",
                      "signedIdentity": {{ "type": "matchRepository" }}
                    }}
                  ]
                }}
              }}
            }}
            EOF
            "#
        )));
        lines.push(unless_there(
            policy,
            &format!("cp {ours} {policy}"),
            &format!(
                "add to its transports those of {ours}; jq \".transports.docker += input.transports.docker\" {policy} {ours} \
                 prints them together"
            ),
        ));
        lines
    }

    pub(super) fn github_actions(&self) -> Vec<String> {
        let Instance { url, root_sha256, .. } = self;
        dedent(&format!(
            r#"
            mkdir -p .github/workflows
            cat > .github/workflows/sigbox.yml <<'EOF'
            on: {{ push: {{ tags: ['v*'] }} }}
            permissions:
              contents: read
              id-token: write
            jobs:
              sign:
                runs-on: self-hosted
                steps:
                  - uses: actions/checkout@v4
                  - uses: sigstore/cosign-installer@v4
                  - run: |
                      cosign initialize --mirror {url}/tuf --root {url}/trust/root.json --root-checksum {root_sha256}
                      cosign sign-blob --yes --bundle README.md.sigstore.json README.md
            EOF
            "#
        ))
    }

    pub(super) fn gitlab_ci(&self) -> Vec<String> {
        let Instance { url, root_sha256, .. } = self;
        let mut lines = dedent(&format!(
            r#"
            cat > sigbox.gitlab-ci.yml <<'EOF'
            sign:
              rules:
                - if: $CI_COMMIT_TAG
              id_tokens:
                SIGSTORE_ID_TOKEN:
                  aud: sigstore
              script:
                - cosign initialize --mirror {url}/tuf --root {url}/trust/root.json --root-checksum {root_sha256}
                - cosign sign-blob --yes --bundle README.md.sigstore.json README.md
            EOF
            "#
        ));
        let include = "include: sigbox.gitlab-ci.yml";
        lines.push(unless_there(
            ".gitlab-ci.yml",
            &format!("echo '{include}' > .gitlab-ci.yml"),
            &format!("it takes the job in by {include}"),
        ));
        lines
    }
}

/// `text` as a regular expression that matches it alone.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(
            c,
            '.' | '+' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' | '\\'
        ) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
