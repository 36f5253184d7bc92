//! Client libraries, through the smallest program that signs and verifies.

use super::{Instance, dedent, fetch, hello};
use crate::cli::DEFAULT_EMAIL;

/// The library's own examples, at the version the stories run.
const GO: &str = "go run github.com/sigstore/sigstore-go/examples/sigstore-go";
const GO_VERSION: &str = "v1.3.0";

impl Instance {
    pub(super) fn go(&self) -> Vec<String> {
        let issuer = self.issuer();
        let Instance { url, .. } = self;
        let token = self.token();
        let trust = "/trust/trusted_root.json";
        vec![
            fetch(url, trust, "sigbox-trusted-root.json"),
            fetch(
                url,
                "/trust/signing_config.v0.2.json",
                "sigbox-signing-config.json",
            ),
            hello(),
            format!(
                "{GO}-signing@{GO_VERSION} -id-token {token} -rekor -tsa -signing-config sigbox-signing-config.json \
                 -trusted-root sigbox-trusted-root.json hello.txt | tail -n 1 > hello.go.sigstore.json"
            ),
            format!(
                "{GO}-verification@{GO_VERSION} -artifact hello.txt -trustedrootJSONpath sigbox-trusted-root.json \
                 -expectedIssuer {issuer} -expectedSAN {DEFAULT_EMAIL} hello.go.sigstore.json"
            ),
        ]
    }

    /// The library asks a certificate authority by gRPC over TLS alone, so the JVM is told of the local TLS authority, and
    /// the signing configuration names its https address.
    pub(super) fn java(&self) -> Vec<String> {
        let issuer = self.issuer();
        let Instance { url, tls_url, .. } = self;
        let token = self.token();
        let mut lines = vec![
            fetch(url, "/trust/trusted_root.json", "sigbox-trusted-root.json"),
            format!(
                "curl -fsS {url}/trust/signing_config.v0.2.json | sed 's#\"{url}\"#\"{tls_url}\"#g' > sigbox-signing-config.json"
            ),
        ];
        // Where the operator brings certificates of their own, the JVM knows their authority or is told by them.
        let own_authority = self.issuer.is_none();
        if own_authority {
            lines.extend([
                fetch(url, "/setup/tls-ca.pem", "sigbox-tls-ca.pem"),
                "rm -f sigbox-tls.p12".to_owned(),
                "keytool -importcert -noprompt -alias sigbox -storetype PKCS12 -storepass changeit -keystore sigbox-tls.p12 \
                 -file sigbox-tls-ca.pem"
                    .to_owned(),
            ]);
        }
        lines.extend(dedent(JAVA_POM));
        lines.push(
            "mvn -q -B -f sigbox-pom.xml org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
             -DincludeScope=runtime -DoutputDirectory=sigbox-lib"
                .to_owned(),
        );
        lines.extend(dedent(JAVA_PROGRAM));
        lines.push(hello());
        let store = match own_authority {
            true => "-Djavax.net.ssl.trustStore=sigbox-tls.p12 -Djavax.net.ssl.trustStorePassword=changeit ",
            false => "",
        };
        lines.push(format!(
            "java {store}-cp 'sigbox-lib/*' SigboxHello.java {token} {DEFAULT_EMAIL} {issuer}"
        ));
        lines
    }

    /// Rekor v1, as the trust repository's signing configuration has it; `--v2` asks for the other.
    pub(super) fn rust(&self) -> Vec<String> {
        let issuer = self.issuer();
        let Instance { url, .. } = self;
        let token = self.token();
        vec![
            "cargo install sigstore-sign --version 0.15.1 --example sign_blob".to_owned(),
            "cargo install sigstore-verify --version 0.15.1 --features tuf --example verify_bundle"
                .to_owned(),
            fetch(url, "/trust/root.json", "sigbox-root.json"),
            fetch(url, "/trust/trusted_root.json", "sigbox-trusted-root.json"),
            hello(),
            format!(
                "sign_blob --token {token} --instance {url}/tuf --tuf-root sigbox-root.json \
                 --output hello.rust.sigstore.json hello.txt"
            ),
            format!(
                "verify_bundle --trusted-root sigbox-trusted-root.json --certificate-identity {DEFAULT_EMAIL} \
                 --certificate-oidc-issuer {issuer} hello.txt hello.rust.sigstore.json"
            ),
        ]
    }
}

const JAVA_POM: &str = r#"
    cat > sigbox-pom.xml <<'EOF'
    <project>
      <modelVersion>4.0.0</modelVersion>
      <groupId>com.example</groupId>
      <artifactId>hello</artifactId>
      <version>1</version>
      <packaging>pom</packaging>
      <dependencies>
        <dependency>
          <groupId>dev.sigstore</groupId>
          <artifactId>sigstore-java</artifactId>
          <version>2.0.0</version>
        </dependency>
      </dependencies>
    </project>
    EOF
"#;

const JAVA_PROGRAM: &str = r#"
    cat > SigboxHello.java <<'EOF'
    import dev.sigstore.*;
    import dev.sigstore.VerificationOptions.CertificateMatcher;
    import dev.sigstore.oidc.client.*;
    import dev.sigstore.strings.StringMatcher;
    import java.nio.file.*;

    class SigboxHello {
      public static void main(String[] args) throws Exception {
        var file = Path.of("hello.txt");
        var trust = TrustedRootProvider.from(Path.of("sigbox-trusted-root.json"));
        var signer = KeylessSigner.builder()
            .trustedRootProvider(trust)
            .signingConfigProvider(SigningConfigProvider.from(Path.of("sigbox-signing-config.json")))
            .forceCredentialProviders(OidcClients.of(TokenStringOidcClient.from(args[0])))
            .signingAlgorithm(AlgorithmRegistry.SigningAlgorithm.PKIX_ECDSA_P256_SHA_256)
            .build();
        var bundle = signer.signFile(file);
        Files.writeString(Path.of("hello.java.sigstore.json"), bundle.toJson());
        var identity = CertificateMatcher.fulcio()
            .subjectAlternativeName(StringMatcher.string(args[1]))
            .issuer(StringMatcher.string(args[2]))
            .build();
        KeylessVerifier.builder().trustedRootProvider(trust).build()
            .verify(file, bundle, VerificationOptions.builder().addCertificateMatchers(identity).build());
        System.out.println("signed and verified by " + args[1]);
        System.exit(0);
      }
    }
    EOF
"#;
