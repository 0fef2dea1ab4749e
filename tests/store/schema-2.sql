-- A file of schema 2, as version 0.1.0 before factors had kinds wrote it.
BEGIN TRANSACTION;
CREATE TABLE grants (
            id TEXT PRIMARY KEY, subject TEXT NOT NULL, session TEXT NOT NULL, holder TEXT NOT NULL,
            binding TEXT NOT NULL, factor TEXT NOT NULL, issued_at REAL NOT NULL, expires_at REAL NOT NULL,
            uses INTEGER CHECK (uses >= 0)
        ) STRICT, WITHOUT ROWID;
INSERT INTO "grants" VALUES('a','["https://idp.example.com","alice"]','sid:1','cookie:x','action:payments/large','otp',1795255200.0,1795255500.0,0);
INSERT INTO "grants" VALUES('b','["https://idp.example.com","alice"]','sid:1','cookie:x','scope:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA:payments/large','otp',1795255200.125,1795255500.0,NULL);
INSERT INTO "grants" VALUES('c','["https://idp.example.com","alice"]','sid:1','cookie:x','request:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA:payments/once','otp',1795255200.0,1795255500.0,2);
INSERT INTO "grants" VALUES('d','["https://idp.example.com","alice"]','sid:2','cookie:x','session','otp',1795255200.0,1795255500.0,3);
CREATE TABLE proofs (
            id TEXT PRIMARY KEY, used_by TEXT NOT NULL, used_at REAL NOT NULL, expires_at REAL NOT NULL
        ) STRICT, WITHOUT ROWID;
INSERT INTO "proofs" VALUES('p1','f',1795255200.0,1795255290.0);
CREATE TABLE spent (
            grant_id TEXT NOT NULL, fingerprint TEXT NOT NULL, spent_at REAL NOT NULL,
            PRIMARY KEY (grant_id, fingerprint)
        ) STRICT, WITHOUT ROWID;
INSERT INTO "spent" VALUES('a','f',1795255200.0);
CREATE TABLE tallies (
            key TEXT PRIMARY KEY, tries INTEGER NOT NULL, locked_until REAL NOT NULL, forgotten_at REAL NOT NULL
        ) STRICT, WITHOUT ROWID;
INSERT INTO "tallies" VALUES('subject:a',2,1795255200.0,1795256200.0);
CREATE TABLE tickets (id TEXT PRIMARY KEY, expires_at REAL NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "tickets" VALUES('t',1795255500.0);
CREATE TABLE totp (
            id TEXT PRIMARY KEY, subject TEXT NOT NULL, sealed TEXT NOT NULL, created_at REAL NOT NULL,
            confirmed INTEGER NOT NULL, last_step INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
INSERT INTO "totp" VALUES('f1','["https://idp.example.com","alice"]','s1.k.x',1795255200.0,1,7);
INSERT INTO "totp" VALUES('f2','["https://idp.example.com","bob"]','s1.k.x',1795255201.0,0,-1);
CREATE INDEX grants_of ON grants (subject, session);
CREATE INDEX grants_end ON grants (expires_at);
CREATE INDEX totp_of ON totp (subject);
CREATE INDEX proofs_end ON proofs (expires_at);
COMMIT;
PRAGMA user_version = 2;
