//! One token: its sessions, and the threads that make its calls.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use common_pki::key::{HashAlgorithm, KeyAlgorithm, PublicKey, SignError};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use der::asn1::{ObjectIdentifier, OctetStringRef, PrintableStringRef};
use der::{Decode, Encode};
use zeroize::Zeroizing;

use super::LIMIT;
use super::uri::TokenUri;
use crate::signer::{Env, KeyringError};

/// Calls under way at once.
const THREADS: usize = 8;
/// Calls that may wait for a thread.
const QUEUE: usize = 1_024;

/// Which key of a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Find {
    pub(super) label: Option<String>,
    pub(super) id: Option<Vec<u8>>,
}

impl Find {
    fn template(&self, class: ObjectClass) -> Vec<Attribute> {
        let label = self
            .label
            .as_ref()
            .map(|label| Attribute::Label(label.clone().into()));
        let id = self.id.clone().map(Attribute::Id);
        [Some(Attribute::Class(class)), label, id]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// What a thread is asked for.
pub(super) enum Order {
    PublicKey(Find),
    Generate(Find, KeyAlgorithm),
    Sign(Find, KeyAlgorithm, HashAlgorithm, Vec<u8>),
}

/// What it found.
pub(super) enum Found {
    Key(Option<PublicKey>),
    Signature(Vec<u8>),
    Made,
}

impl Found {
    pub(super) fn key(self) -> Option<PublicKey> {
        match self {
            Self::Key(key) => key,
            _ => None,
        }
    }

    pub(super) fn signature(self) -> Result<Vec<u8>, SignError> {
        match self {
            Self::Signature(signature) => Ok(signature),
            _ => Err(SignError::Failed("the token made no signature".to_owned())),
        }
    }
}

struct Job {
    order: Order,
    reply: SyncSender<Result<Found, SignError>>,
}

/// A token with its threads, for as long as the process lives: a module may be initialized only once.
pub(super) struct Token {
    jobs: SyncSender<Job>,
}

/// What identifies a token: module, label, serial number, slot.
type TokenName = (PathBuf, Option<String>, Option<String>, Option<u64>);

static TOKENS: Mutex<Option<HashMap<TokenName, Arc<Token>>>> = Mutex::new(None);
static MODULES: Mutex<Option<HashMap<PathBuf, Pkcs11>>> = Mutex::new(None);

impl Token {
    /// The token that the URI names, logged in.
    pub(super) fn get(env: &Env, uri: &TokenUri) -> Result<Arc<Token>, KeyringError> {
        let module = uri.module(env)?;
        let name = (module.clone(), uri.token.clone(), uri.serial.clone(), uri.slot);
        let mut tokens = TOKENS.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens = tokens.get_or_insert_default();
        if let Some(token) = tokens.get(&name) {
            return Ok(Arc::clone(token));
        }
        let failed = |error: Error| KeyringError::Device {
            uri: uri.to_string(),
            problem: error.to_string(),
        };
        let context = load(module).map_err(failed)?;
        let slot = slot_of(&context, uri).map_err(failed)?.ok_or_else(|| {
            KeyringError::Missing(format!(
                "{uri}: a token of that name in one of the module's slots"
            ))
        })?;
        let login = Login {
            context,
            slot,
            pin: Arc::new(uri.pin(env)?),
        };
        // A wrong PIN is said at the start, once: after a few of them a token locks itself.
        let first = login.session().map_err(failed)?;
        let (jobs, queue) = sync_channel(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        let mut first = Some(first);
        for number in 0..THREADS {
            let (login, queue, session) = (login.clone(), Arc::clone(&queue), first.take());
            let started = thread::Builder::new()
                .name(format!("pkcs11-{number}"))
                .spawn(move || serve(&login, &queue, session));
            started.map_err(|error| KeyringError::Device {
                uri: uri.to_string(),
                problem: format!("no thread for it: {error}"),
            })?;
        }
        let token = Arc::new(Token { jobs });
        tokens.insert(name, Arc::clone(&token));
        Ok(token)
    }

    /// Has one call made, and waits for it no longer than [`LIMIT`].
    pub(super) fn ask(&self, order: Order) -> Result<Found, SignError> {
        let (reply, answer) = sync_channel(1);
        let unavailable = |why: &str| Err(SignError::Unavailable(why.to_owned()));
        match self.jobs.try_send(Job { order, reply }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return unavailable("too many calls wait for the token"),
            Err(TrySendError::Disconnected(_)) => return unavailable("the token's threads have ended"),
        }
        match answer.recv_timeout(LIMIT) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => unavailable("the token did not answer in time"),
            Err(RecvTimeoutError::Disconnected) => unavailable("the call to the token broke off"),
        }
    }
}

fn load(module: PathBuf) -> Result<Pkcs11, Error> {
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    let modules = modules.get_or_insert_default();
    if let Some(context) = modules.get(&module) {
        return Ok(context.clone());
    }
    let context = Pkcs11::new(&module)?;
    match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(error),
    }
    modules.insert(module, context.clone());
    Ok(context)
}

fn slot_of(context: &Pkcs11, uri: &TokenUri) -> Result<Option<Slot>, Error> {
    for slot in context.get_slots_with_token()? {
        let info = context.get_token_info(slot)?;
        let is = |wanted: &Option<String>, got: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == got.trim_end())
        };
        if is(&uri.token, info.label())
            && is(&uri.serial, info.serial_number())
            && uri.slot.is_none_or(|number| number == slot.id())
        {
            return Ok(Some(slot));
        }
    }
    Ok(None)
}

/// What it takes to open a session.
#[derive(Clone)]
struct Login {
    context: Pkcs11,
    slot: Slot,
    pin: Arc<Zeroizing<String>>,
}

impl Login {
    fn session(&self) -> Result<Session, Error> {
        let session = self.context.open_rw_session(self.slot)?;
        match session.login(UserType::User, Some(&AuthPin::from(self.pin.as_str()))) {
            // The login is the application's, not the session's (PKCS #11 v2.40 §5.6).
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => Err(error),
        }
    }
}

/// One thread: a session, and the keys found in it.
fn serve(login: &Login, queue: &Mutex<Receiver<Job>>, first: Option<Session>) {
    let mut open = first.map(|session| (session, HashMap::new()));
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { order, reply }) = job else { return };
        let outcome = attend(login, &mut open, order);
        // Whoever asked may have given up.
        let _ = reply.send(outcome);
    }
}

type Opened = (Session, HashMap<Find, ObjectHandle>);

fn attend(login: &Login, open: &mut Option<Opened>, order: Order) -> Result<Found, SignError> {
    let current = match open.take() {
        Some(current) => current,
        None => (
            login.session().map_err(|error| unavailable(&error))?,
            HashMap::new(),
        ),
    };
    let (session, handles) = open.insert(current);
    let outcome = carry_out(session, handles, order);
    if matches!(outcome, Err(SignError::Unavailable(_))) {
        // The token may have been taken out and put back: the next call opens a new session.
        *open = None;
    }
    outcome
}

fn carry_out(
    session: &Session,
    handles: &mut HashMap<Find, ObjectHandle>,
    order: Order,
) -> Result<Found, SignError> {
    let device = |error: Error| unavailable(&error);
    match order {
        Order::PublicKey(find) => match one(session, &find, ObjectClass::PUBLIC_KEY)? {
            Some(object) => public_key(session, object).map(Some).map(Found::Key),
            None => Ok(Found::Key(None)),
        },
        Order::Generate(find, algorithm) => {
            generate(session, &find, algorithm)?;
            Ok(Found::Made)
        }
        Order::Sign(find, algorithm, hash, input) => {
            let handle = match handles.get(&find) {
                Some(handle) => *handle,
                None => {
                    let handle = one(session, &find, ObjectClass::PRIVATE_KEY)?
                        .ok_or_else(|| SignError::Failed("the token has no such private key".to_owned()))?;
                    handles.insert(find, handle);
                    handle
                }
            };
            session
                .sign(&signing(algorithm, hash), handle, &input)
                .map(Found::Signature)
                .map_err(device)
        }
    }
}

fn unavailable(error: &Error) -> SignError {
    SignError::Unavailable(error.to_string())
}

/// The one object of that name.
fn one(session: &Session, find: &Find, class: ObjectClass) -> Result<Option<ObjectHandle>, SignError> {
    let found = session
        .find_objects(&find.template(class))
        .map_err(|error| unavailable(&error))?;
    match found.as_slice() {
        [] => Ok(None),
        [object] => Ok(Some(*object)),
        more => Err(SignError::Failed(format!(
            "the token has {} keys of that name; say which with id=",
            more.len()
        ))),
    }
}

fn public_key(session: &Session, object: ObjectHandle) -> Result<PublicKey, SignError> {
    let wrong = || SignError::Failed("the token's public key is of no kind that is used here".to_owned());
    let wanted = [
        AttributeType::KeyType,
        AttributeType::EcPoint,
        AttributeType::Modulus,
        AttributeType::PublicExponent,
    ];
    let attributes = session
        .get_attributes(object, &wanted)
        .map_err(|error| unavailable(&error))?;
    let (mut kind, mut point, mut modulus, mut exponent) = (None, None, None, None);
    for attribute in attributes {
        match attribute {
            Attribute::KeyType(got) => kind = Some(got),
            Attribute::EcPoint(got) => point = Some(got),
            Attribute::Modulus(got) => modulus = Some(got),
            Attribute::PublicExponent(got) => exponent = Some(got),
            _ => {}
        }
    }
    // CKA_EC_POINT is the point in an OCTET STRING (PKCS #11 v2.40 mechanisms §2.3.3); some tokens leave it bare.
    let bare = |point: &[u8]| -> Vec<u8> {
        <&OctetStringRef>::from_der(point)
            .map_or_else(|_| point.to_vec(), |string| string.as_bytes().to_vec())
    };
    let key = match (kind, point, modulus, exponent) {
        (Some(KeyType::EC), Some(point), ..) => PublicKey::from_ec_point(&bare(&point)),
        (Some(KeyType::EC_EDWARDS), Some(point), ..) => {
            let point: [u8; 32] = bare(&point).try_into().map_err(|_| wrong())?;
            PublicKey::from_ed25519(&point)
        }
        (Some(KeyType::RSA), _, Some(modulus), Some(exponent)) => {
            PublicKey::from_rsa_numbers(&modulus, &exponent)
        }
        _ => return Err(wrong()),
    };
    key.map_err(|_| wrong())
}

/// Makes a key pair that signs and never leaves the token.
fn generate(session: &Session, find: &Find, algorithm: KeyAlgorithm) -> Result<(), SignError> {
    const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
    const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
    const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
    let unsupported = || SignError::Unsupported(algorithm);
    let named = |curve: ObjectIdentifier| curve.to_der().map_err(|_| unsupported());
    let (mechanism, parameters) = match algorithm {
        KeyAlgorithm::EcdsaP256 => (Mechanism::EccKeyPairGen, named(P256)?),
        KeyAlgorithm::EcdsaP384 => (Mechanism::EccKeyPairGen, named(P384)?),
        KeyAlgorithm::EcdsaP521 => (Mechanism::EccKeyPairGen, named(P521)?),
        // PKCS #11 v3.0 mechanisms §2.3.5: curveName, since the OID came later.
        KeyAlgorithm::Ed25519 => {
            let name = PrintableStringRef::new("edwards25519").and_then(|name| name.to_der());
            (Mechanism::EccEdwardsKeyPairGen, name.map_err(|_| unsupported())?)
        }
        _ => return Err(unsupported()),
    };
    let label = find.label.clone().unwrap_or_default().into_bytes();
    let id = find.id.clone().unwrap_or_else(|| label.clone());
    let public = [
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::Label(label.clone()),
        Attribute::Id(id.clone()),
        Attribute::EcParams(parameters),
    ];
    let private = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Label(label),
        Attribute::Id(id),
    ];
    session
        .generate_key_pair(&mechanism, &public, &private)
        .map(drop)
        .map_err(|error| unavailable(&error))
}

fn signing(algorithm: KeyAlgorithm, hash: HashAlgorithm) -> Mechanism<'static> {
    match (algorithm, hash) {
        (KeyAlgorithm::Ed25519, _) => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)),
        (algorithm, _) if algorithm.is_ecdsa() => Mechanism::Ecdsa,
        (_, HashAlgorithm::Sha256) => Mechanism::Sha256RsaPkcs,
        (_, HashAlgorithm::Sha384) => Mechanism::Sha384RsaPkcs,
        (_, HashAlgorithm::Sha512) => Mechanism::Sha512RsaPkcs,
    }
}
