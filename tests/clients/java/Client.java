import dev.sigstore.AlgorithmRegistry.SigningAlgorithm;
import dev.sigstore.KeylessSigner;
import dev.sigstore.KeylessVerifier;
import dev.sigstore.SigningConfigProvider;
import dev.sigstore.TrustedRootProvider;
import dev.sigstore.VerificationOptions;
import dev.sigstore.VerificationOptions.CertificateMatcher;
import dev.sigstore.bundle.Bundle;
import dev.sigstore.oidc.client.OidcClients;
import dev.sigstore.oidc.client.TokenStringOidcClient;
import dev.sigstore.strings.StringMatcher;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/**
 * A client made of sigstore-java, for the stories: the command line of sigstore-conformance, which all library clients here
 * speak.
 *
 * <pre>
 * Client sign-bundle   [--in-toto] --identity-token T --bundle F --trusted-root R --signing-config S FILE
 * Client verify-bundle --bundle F --certificate-identity I --certificate-oidc-issuer U --trusted-root R FILE
 * Client verify-bundles --trusted-root R LIST
 * </pre>
 *
 * The last is not the suite's: each line of LIST is a bundle, an identity, an issuer and a file, with tabs between, and gets a
 * line of its own on standard output, {@code verified} or {@code refused} and why.
 *
 * <p>Certificates come over gRPC and TLS alone: the signing configuration has to name an https URL.
 */
final class Client {
  private static final String IN_TOTO = "--in-toto";

  private final Map<String, String> options = new HashMap<>();
  private Path file;

  public static void main(String[] args) {
    try {
      new Client(args).run(args.length == 0 ? "nothing" : args[0]);
    } catch (Exception e) {
      for (Throwable cause = e; cause != null; cause = cause.getCause()) {
        System.err.println(cause.getClass().getSimpleName() + ": " + cause.getMessage());
      }
      System.exit(1);
    }
    // gRPC keeps threads of its own.
    System.exit(0);
  }

  private Client(String[] args) {
    for (int i = 1; i < args.length; i++) {
      if (args[i].equals(IN_TOTO)) {
        options.put(IN_TOTO, "");
      } else if (args[i].startsWith("--") && i + 1 < args.length) {
        options.put(args[i], args[++i]);
      } else {
        file = Path.of(args[i]);
      }
    }
  }

  private void run(String command) throws Exception {
    switch (command) {
      case "sign-bundle" -> sign();
      case "verify-bundle" ->
          verify(
              new Row(
                  path("--bundle"),
                  option("--certificate-identity"),
                  option("--certificate-oidc-issuer"),
                  file));
      case "verify-bundles" -> verifyAll();
      default ->
          throw new IllegalArgumentException(
              "expected sign-bundle, verify-bundle or verify-bundles, got " + command);
    }
  }

  private void sign() throws Exception {
    var builder =
        KeylessSigner.builder()
            .trustedRootProvider(trustedRoot())
            .signingConfigProvider(SigningConfigProvider.from(path("--signing-config")))
            .forceCredentialProviders(OidcClients.of(TokenStringOidcClient.from(option("--identity-token"))))
            .signingAlgorithm(SigningAlgorithm.PKIX_ECDSA_P256_SHA_256)
            .enableRekorV2(true);
    try (var signer = builder.build()) {
      Bundle made = options.containsKey(IN_TOTO) ? signer.attest(Files.readString(file)) : signer.signFile(file);
      Files.writeString(path("--bundle"), made.toJson());
    }
  }

  private record Row(Path bundle, String identity, String issuer, Path file) {}

  private void verifyAll() throws Exception {
    for (String line : Files.readAllLines(file)) {
      String[] columns = line.split("\t", -1);
      if (columns.length != 4) {
        throw new IllegalArgumentException(
            "expected bundle, identity, issuer and file, got " + columns.length + " columns");
      }
      try {
        verify(new Row(Path.of(columns[0]), columns[1], columns[2], Path.of(columns[3])));
        System.out.println("verified");
      } catch (Exception e) {
        System.out.println("refused\t" + e.toString().replace('\n', ' '));
      }
    }
  }

  private void verify(Row row) throws Exception {
    var identity =
        CertificateMatcher.fulcio()
            .subjectAlternativeName(StringMatcher.string(row.identity()))
            .issuer(StringMatcher.string(row.issuer()))
            .build();
    KeylessVerifier.builder()
        .trustedRootProvider(trustedRoot())
        .build()
        .verify(
            row.file(),
            Bundle.from(row.bundle(), StandardCharsets.UTF_8),
            VerificationOptions.builder().addCertificateMatchers(identity).build());
  }

  private TrustedRootProvider trustedRoot() {
    return TrustedRootProvider.from(path("--trusted-root"));
  }

  private Path path(String name) {
    return Path.of(option(name));
  }

  private String option(String name) {
    String value = options.get(name);
    if (value == null) {
      throw new IllegalArgumentException("expected " + name);
    }
    return value;
  }
}
