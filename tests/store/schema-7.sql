-- A file of schema 7, as the version before habits, devices and signals wrote it.
BEGIN TRANSACTION;
CREATE TABLE factors (
            id TEXT PRIMARY KEY, subject TEXT NOT NULL, kind TEXT NOT NULL, created_at REAL NOT NULL,
            confirmed INTEGER NOT NULL, name TEXT NOT NULL, sealed TEXT NOT NULL, public TEXT NOT NULL,
            mark INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
INSERT INTO "factors" VALUES('f1','["https://idp.example.com","alice"]','totp',1795255200.0,1,'My phone','s1.k.x','key',7);
CREATE TABLE grants (
            id TEXT PRIMARY KEY, subject TEXT NOT NULL, session TEXT NOT NULL, holder TEXT NOT NULL,
            binding TEXT NOT NULL, factor TEXT NOT NULL, issued_at REAL NOT NULL, expires_at REAL NOT NULL,
            uses INTEGER CHECK (uses >= 0)
        , rule TEXT NOT NULL DEFAULT '') STRICT, WITHOUT ROWID;
INSERT INTO "grants" VALUES('g1','["https://idp.example.com","alice"]','sid:1','cookie:x','action:p/r','otp',1795255200.0,1795255500.0,NULL,'p/r');
CREATE TABLE known_holders (
            key TEXT NOT NULL, holder TEXT NOT NULL, locked_until REAL NOT NULL, empty_at REAL NOT NULL,
            until REAL NOT NULL, PRIMARY KEY (key, holder)
        ) STRICT, WITHOUT ROWID;
CREATE TABLE origin (tag BLOB NOT NULL) STRICT;
INSERT INTO "origin" VALUES(X'7A88B1A2D885DD9640B1AD74E43D4DA8');
CREATE TABLE proofs (
            id TEXT PRIMARY KEY, used_by TEXT NOT NULL, used_at REAL NOT NULL, expires_at REAL NOT NULL
        ) STRICT, WITHOUT ROWID;
CREATE TABLE resets (subject TEXT PRIMARY KEY, at REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE revocation_log (
        number INTEGER PRIMARY KEY, tag BLOB NOT NULL, kind TEXT NOT NULL, about TEXT NOT NULL
    ) STRICT;
INSERT INTO "revocation_log" VALUES(1,X'E442A3E41B34B453','','');
INSERT INTO "revocation_log" VALUES(2,X'6197AA093E79FABF','token','["https://idp.example.com","j1"]');
CREATE TABLE revocations (
        kind TEXT NOT NULL, about TEXT NOT NULL, subject TEXT NOT NULL, at REAL NOT NULL, until REAL NOT NULL,
        PRIMARY KEY (kind, about)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "revocations" VALUES('token','["https://idp.example.com","j1"]','["https://idp.example.com","alice"]',1795255200.0,9e999);
CREATE TABLE sessions (
            subject TEXT NOT NULL, session TEXT NOT NULL, started_at REAL NOT NULL, last_seen REAL NOT NULL,
            until REAL NOT NULL, PRIMARY KEY (subject, session)
        ) STRICT, WITHOUT ROWID;
INSERT INTO "sessions" VALUES('["https://idp.example.com","alice"]','sid:1',1795255200.0,1795255200.0,1795256200.0);
CREATE TABLE spent (
            grant_id TEXT NOT NULL, fingerprint TEXT NOT NULL, spent_at REAL NOT NULL,
            PRIMARY KEY (grant_id, fingerprint)
        ) STRICT, WITHOUT ROWID;
CREATE TABLE tallies (
            key TEXT PRIMARY KEY, locked_until REAL NOT NULL, empty_at REAL NOT NULL
        ) STRICT, WITHOUT ROWID;
INSERT INTO "tallies" VALUES('subject:a',0.0,1795256200.0);
CREATE TABLE tickets (id TEXT PRIMARY KEY, expires_at REAL NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "tickets" VALUES('t',1795255500.0);
CREATE INDEX grants_of ON grants (subject, session);
CREATE INDEX grants_end ON grants (expires_at);
CREATE INDEX proofs_end ON proofs (expires_at);
CREATE INDEX revocations_of ON revocations (subject);
CREATE INDEX revocations_end ON revocations (until);
CREATE INDEX factors_of ON factors (subject);
CREATE INDEX sessions_end ON sessions (until);
CREATE INDEX known_holders_end ON known_holders (until);
COMMIT;
PRAGMA user_version = 7;
