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
 * </pre>
 *
 * Certificates come over gRPC and TLS alone: the signing configuration has to name an https URL.
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
      case "verify-bundle" -> verify();
      default -> throw new IllegalArgumentException("expected sign-bundle or verify-bundle, got " + command);
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

  private void verify() throws Exception {
    var identity =
        CertificateMatcher.fulcio()
            .subjectAlternativeName(StringMatcher.string(option("--certificate-identity")))
            .issuer(StringMatcher.string(option("--certificate-oidc-issuer")))
            .build();
    KeylessVerifier.builder()
        .trustedRootProvider(trustedRoot())
        .build()
        .verify(
            file,
            Bundle.from(path("--bundle"), StandardCharsets.UTF_8),
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
