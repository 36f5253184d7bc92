//! Issuers by the name of their product (`preset: github`): what can be said without knowing where they run.

/// One product.
#[derive(Debug)]
#[non_exhaustive]
pub struct Preset {
    /// Its name in the file.
    pub name: &'static str,
    /// Where it runs, if everybody's does.
    pub issuer_url: Option<&'static str>,
    /// What its subjects are.
    pub identity_type: &'static str,
    /// The mapping of its claims.
    pub ci_provider: Option<&'static str>,
    /// The URIs in certificates are under the issuer's own host.
    pub(super) own_host: bool,
    /// It does not say whether an address is verified.
    pub(super) skip_email_verification: bool,
}

const fn hosted(name: &'static str, url: &'static str, ci_provider: &'static str) -> Preset {
    Preset {
        issuer_url: Some(url),
        ..workflows(name, ci_provider)
    }
}

const fn workflows(name: &'static str, ci_provider: &'static str) -> Preset {
    Preset {
        ci_provider: Some(ci_provider),
        ..plain(name, "ci-provider")
    }
}

const fn plain(name: &'static str, identity_type: &'static str) -> Preset {
    Preset {
        name,
        issuer_url: None,
        identity_type,
        ci_provider: None,
        own_host: false,
        skip_email_verification: false,
    }
}

/// Every product that is known.
pub static PRESETS: [Preset; 18] = [
    hosted(
        "github",
        "https://token.actions.githubusercontent.com",
        "github-workflow",
    ),
    // https://HOST/_services/token
    Preset {
        own_host: true,
        ..workflows("github-enterprise", "github-workflow")
    },
    // gitlab.com and instances of one's own: the issuer is the instance.
    Preset {
        own_host: true,
        ..hosted("gitlab", "https://gitlab.com", "gitlab-pipeline")
    },
    hosted("buildkite", "https://agent.buildkite.com", "buildkite-job"),
    hosted("codefresh", "https://oidc.codefresh.io", "codefresh-workflow"),
    // A pattern: https://oidc.circleci.com/org/*
    workflows("circleci", "circleci-job"),
    hosted("buddy", "https://oidc.buddyusercontent.com", "buddy-pipeline"),
    // https://HOST/api/actions
    Preset {
        own_host: true,
        ..workflows("forgejo", "forgejo-workflow")
    },
    // The OpenID Connect Provider plugin: subjects are URLs of jobs under the controller's own.
    plain("jenkins", "uri"),
    plain("keycloak", "email"),
    plain("dex", "email"),
    plain("okta", "email"),
    // Entra ID and AD FS have no email_verified.
    Preset {
        skip_email_verification: true,
        ..plain("entra", "email")
    },
    Preset {
        issuer_url: Some("https://accounts.google.com"),
        ..plain("google", "email")
    },
    plain("kubernetes", "kubernetes"),
    plain("spiffe", "spiffe"),
    Preset {
        issuer_url: Some("https://issuer.enforce.dev"),
        ..plain("chainguard", "chainguard-identity")
    },
    plain("username", "username"),
];

impl Preset {
    /// The preset of that name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }
}
