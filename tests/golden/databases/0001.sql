BEGIN TRANSACTION;
CREATE TABLE alarm (
	id INTEGER NOT NULL, 
	rule_id INTEGER NOT NULL, 
	device_id VARCHAR(32) NOT NULL, 
	raised_at BIGINT NOT NULL, 
	cleared_at BIGINT, 
	value DOUBLE NOT NULL, 
	CONSTRAINT pk_alarm PRIMARY KEY (id), 
	CONSTRAINT fk_alarm_device_id FOREIGN KEY(device_id) REFERENCES device (id) ON DELETE CASCADE, 
	CONSTRAINT fk_alarm_rule_id FOREIGN KEY(rule_id) REFERENCES alarm_rule (id) ON DELETE CASCADE
);
CREATE TABLE alarm_rule (
	id INTEGER NOT NULL, 
	organisation_id INTEGER NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	series VARCHAR(128) NOT NULL, 
	above BOOLEAN NOT NULL, 
	raise_at DOUBLE NOT NULL, 
	clear_at DOUBLE NOT NULL, 
	hold DOUBLE NOT NULL, 
	target VARCHAR(512) NOT NULL, 
	CONSTRAINT pk_alarm_rule PRIMARY KEY (id), 
	CONSTRAINT fk_alarm_rule_organisation_id FOREIGN KEY(organisation_id) REFERENCES organisation (id) ON DELETE CASCADE
);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE api_token (
	id INTEGER NOT NULL, 
	organisation_id INTEGER NOT NULL, 
	user_id INTEGER NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	secret_hash VARCHAR(64) NOT NULL, 
	scopes JSON NOT NULL, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	last_used_at BIGINT, 
	CONSTRAINT pk_api_token PRIMARY KEY (id), 
	CONSTRAINT fk_api_token_organisation_id FOREIGN KEY(organisation_id) REFERENCES organisation (id) ON DELETE CASCADE, 
	CONSTRAINT fk_api_token_user_id FOREIGN KEY(user_id) REFERENCES user_account (id) ON DELETE CASCADE, 
	CONSTRAINT uq_api_token_secret_hash UNIQUE (secret_hash)
);
CREATE TABLE artifact (
	sha256 VARCHAR(64) NOT NULL, 
	size BIGINT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_artifact PRIMARY KEY (sha256)
);
CREATE TABLE audit_entry (
	id INTEGER NOT NULL, 
	organisation_id INTEGER, 
	at BIGINT NOT NULL, 
	actor VARCHAR(128) NOT NULL, 
	action VARCHAR(128) NOT NULL, 
	target VARCHAR(256) NOT NULL, 
	detail JSON NOT NULL, 
	remote VARCHAR(128) NOT NULL, 
	seal VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_audit_entry PRIMARY KEY (id)
);
CREATE TABLE device (
	id VARCHAR(32) NOT NULL, 
	organisation_id INTEGER NOT NULL, 
	public_key VARCHAR(64) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	tags JSON NOT NULL, 
	created_at BIGINT NOT NULL, 
	desired_version BIGINT NOT NULL, 
	release_id INTEGER, 
	overlay_id INTEGER, 
	settings JSON NOT NULL, 
	mqtt_hash VARCHAR(64), 
	online BOOLEAN NOT NULL, 
	last_seen_at BIGINT NOT NULL, 
	boot VARCHAR(64) NOT NULL, 
	report_seq BIGINT NOT NULL, 
	platform VARCHAR(64) NOT NULL, 
	system VARCHAR(64) NOT NULL, 
	agent VARCHAR(64) NOT NULL, 
	generation INTEGER NOT NULL, 
	running VARCHAR(64), 
	running_overlay VARCHAR(64), 
	healthy BOOLEAN NOT NULL, 
	update_version BIGINT NOT NULL, 
	update_state VARCHAR(16) NOT NULL, 
	update_progress DOUBLE NOT NULL, 
	update_reason VARCHAR(4096) NOT NULL, 
	apps JSON NOT NULL, 
	metrics JSON NOT NULL, 
	CONSTRAINT pk_device PRIMARY KEY (id), 
	CONSTRAINT fk_device_organisation_id FOREIGN KEY(organisation_id) REFERENCES organisation (id) ON DELETE CASCADE, 
	CONSTRAINT fk_device_overlay_id FOREIGN KEY(overlay_id) REFERENCES overlay (id), 
	CONSTRAINT fk_device_release_id FOREIGN KEY(release_id) REFERENCES release (id)
);
INSERT INTO "device" VALUES('5e318f8cf9cbe249a30812b8ca132d69',1,'UBVWW23LNNVWW23LNNVWW23LNNVWW23LNNVWW23LNNVWW23LNNVWXC4V','accepted','old pump','["kept"]',1700000000000,3,NULL,1,'{}',NULL,0,0,'',0,'host','pump','1.0',1,NULL,NULL,1,3,'healthy',1.0,'','{}','{}');
CREATE TABLE device_event (
	id INTEGER NOT NULL, 
	device_id VARCHAR(32) NOT NULL, 
	at BIGINT NOT NULL, 
	kind VARCHAR(64) NOT NULL, 
	app VARCHAR(64) NOT NULL, 
	text VARCHAR(4096) NOT NULL, 
	CONSTRAINT pk_device_event PRIMARY KEY (id), 
	CONSTRAINT fk_device_event_device_id FOREIGN KEY(device_id) REFERENCES device (id) ON DELETE CASCADE
);
CREATE TABLE device_group (
	id INTEGER NOT NULL, 
	organisation_id INTEGER NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	"query" VARCHAR(512) NOT NULL, 
	CONSTRAINT pk_device_group PRIMARY KEY (id), 
	CONSTRAINT fk_device_group_organisation_id FOREIGN KEY(organisation_id) REFERENCES organisation (id) ON DELETE CASCADE, 
	CONSTRAINT uq_device_group_organisation_id UNIQUE (organisation_id, name)
);
INSERT INTO "device_group" VALUES(1,1,'all','*');
CREATE TABLE ingest_offset (
	stream VARCHAR(64) NOT NULL, 
	sequence BIGINT NOT NULL, 
	CONSTRAINT pk_ingest_offset PRIMARY KEY (stream)
);
CREATE TABLE lease (
	name VARCHAR(64) NOT NULL, 
	holder VARCHAR(64) NOT NULL, 
	expires_at BIGINT NOT NULL, 
	CONSTRAINT pk_lease PRIMARY KEY (name)
);
CREATE TABLE log_line (
	id INTEGER NOT NULL, 
	device_id VARCHAR(32) NOT NULL, 
	at BIGINT NOT NULL, 
	boot VARCHAR(64) NOT NULL, 
	seconds DOUBLE NOT NULL, 
	app VARCHAR(64) NOT NULL, 
	text VARCHAR(4096) NOT NULL, 
	CONSTRAINT pk_log_line PRIMARY KEY (id)
);
CREATE TABLE login_session (
	id INTEGER NOT NULL, 
	secret_hash VARCHAR(64) NOT NULL, 
	user_id INTEGER NOT NULL, 
	organisation_id INTEGER, 
	csrf VARCHAR(64) NOT NULL, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	remote VARCHAR(128) NOT NULL, 
	CONSTRAINT pk_login_session PRIMARY KEY (id), 
	CONSTRAINT fk_login_session_organisation_id FOREIGN KEY(organisation_id) REFERENCES organisation (id) ON DELETE SET NULL, 
	CONSTRAINT fk_login_session_user_id FOREIGN KEY(user_id) REFERENCES user_account (id) ON DELETE CASCADE, 
	CONSTRAINT uq_login_session_secret_hash UNIQUE (secret_hash)
);
CREATE TABLE membership (
	id INTEGER NOT NULL, 
	user_id INTEGER NOT NULL, 
	organisation_id INTEGER NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	group_id INTEGER, 
	CONSTRAINT pk_membership PRIMARY KEY (id), 
	CONSTRAINT fk_membership_group_id FOREIGN KEY(group_id) REFERENCES device_group (id) ON DELETE CASCADE, 
	CONSTRAINT fk_membership_organisation_id FOREIGN KEY(organisation_id) REFERENCES organisation (id) ON DELETE CASCADE, 
	CONSTRAINT fk_membership_user_id FOREIGN KEY(user_id) REFERENCES user_account (id) ON DELETE CASCADE, 
	CONSTRAINT uq_membership_user_id UNIQUE (user_id, organisation_id)
);
CREATE TABLE organisation (
	id INTEGER NOT NULL, 
	slug VARCHAR(64) NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_organisation PRIMARY KEY (id), 
	CONSTRAINT uq_organisation_slug UNIQUE (slug)
);
INSERT INTO "organisation" VALUES(1,'default','Default',1700000000000);
CREATE TABLE overlay (
	id INTEGER NOT NULL, 
	organisation_id INTEGER NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	document JSON NOT NULL, 
	signatures JSON NOT NULL, 
	uploaded_by VARCHAR(128) NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_overlay PRIMARY KEY (id), 
	CONSTRAINT fk_overlay_organisation_id FOREIGN KEY(organisation_id) REFERENCES organisation (id) ON DELETE CASCADE, 
	CONSTRAINT uq_overlay_organisation_id UNIQUE (organisation_id, sha256)
);
INSERT INTO "overlay" VALUES(1,1,'lab','7b8810d2e28b09b82f47d07b905754f60518176a8cd73cd6ecbff2b79afe2fc6','{"settings": {"heartbeat": 5}}','[]','developer',1700000000000);
CREATE TABLE point (
	id INTEGER NOT NULL, 
	series_id INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	value DOUBLE NOT NULL, 
	CONSTRAINT pk_point PRIMARY KEY (id)
);
INSERT INTO "point" VALUES(1,1,1700000000000,0.5);
CREATE TABLE preauthorised_key (
	id INTEGER NOT NULL, 
	organisation_id INTEGER NOT NULL, 
	public_key VARCHAR(64) NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	tags JSON NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_preauthorised_key PRIMARY KEY (id), 
	CONSTRAINT fk_preauthorised_key_organisation_id FOREIGN KEY(organisation_id) REFERENCES organisation (id) ON DELETE CASCADE, 
	CONSTRAINT uq_preauthorised_key_public_key UNIQUE (public_key)
);
CREATE TABLE release (
	id INTEGER NOT NULL, 
	organisation_id INTEGER NOT NULL, 
	manifest VARCHAR(64) NOT NULL, 
	manifest_size BIGINT NOT NULL, 
	system VARCHAR(128) NOT NULL, 
	version VARCHAR(128) NOT NULL, 
	platform VARCHAR(128) NOT NULL, 
	apps JSON NOT NULL, 
	signatures JSON NOT NULL, 
	signers JSON NOT NULL, 
	assurance JSON NOT NULL, 
	size BIGINT NOT NULL, 
	uploaded_by VARCHAR(128) NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_release PRIMARY KEY (id), 
	CONSTRAINT fk_release_organisation_id FOREIGN KEY(organisation_id) REFERENCES organisation (id) ON DELETE CASCADE, 
	CONSTRAINT uq_release_organisation_id UNIQUE (organisation_id, manifest)
);
CREATE TABLE release_artifact (
	release_id INTEGER NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_release_artifact PRIMARY KEY (release_id, sha256), 
	CONSTRAINT fk_release_artifact_release_id FOREIGN KEY(release_id) REFERENCES release (id) ON DELETE CASCADE, 
	CONSTRAINT fk_release_artifact_sha256 FOREIGN KEY(sha256) REFERENCES artifact (sha256)
);
CREATE TABLE rollout (
	id INTEGER NOT NULL, 
	organisation_id INTEGER NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	release_id INTEGER NOT NULL, 
	target VARCHAR(512) NOT NULL, 
	"plan" JSON NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	phase INTEGER NOT NULL, 
	phase_at BIGINT NOT NULL, 
	priority INTEGER NOT NULL, 
	reason VARCHAR(1024) NOT NULL, 
	created_by VARCHAR(128) NOT NULL, 
	approved_by VARCHAR(128), 
	created_at BIGINT NOT NULL, 
	finished_at BIGINT, 
	CONSTRAINT pk_rollout PRIMARY KEY (id), 
	CONSTRAINT fk_rollout_organisation_id FOREIGN KEY(organisation_id) REFERENCES organisation (id) ON DELETE CASCADE, 
	CONSTRAINT fk_rollout_release_id FOREIGN KEY(release_id) REFERENCES release (id)
);
CREATE TABLE rollout_device (
	rollout_id INTEGER NOT NULL, 
	device_id VARCHAR(32) NOT NULL, 
	phase INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	since BIGINT NOT NULL, 
	offered_at BIGINT, 
	desired_version BIGINT, 
	previous_release_id INTEGER, 
	reason VARCHAR(4096) NOT NULL, 
	CONSTRAINT pk_rollout_device PRIMARY KEY (rollout_id, device_id), 
	CONSTRAINT fk_rollout_device_device_id FOREIGN KEY(device_id) REFERENCES device (id) ON DELETE CASCADE, 
	CONSTRAINT fk_rollout_device_rollout_id FOREIGN KEY(rollout_id) REFERENCES rollout (id) ON DELETE CASCADE
);
CREATE TABLE series (
	id INTEGER NOT NULL, 
	device_id VARCHAR(32) NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	CONSTRAINT pk_series PRIMARY KEY (id), 
	CONSTRAINT fk_series_device_id FOREIGN KEY(device_id) REFERENCES device (id) ON DELETE CASCADE, 
	CONSTRAINT uq_series_device_id UNIQUE (device_id, name)
);
INSERT INTO "series" VALUES(1,'5e318f8cf9cbe249a30812b8ca132d69','device/load');
CREATE TABLE user_account (
	id INTEGER NOT NULL, 
	email VARCHAR(254) NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	password_hash VARCHAR(256), 
	totp_secret VARCHAR(64), 
	totp_step BIGINT NOT NULL, 
	oidc_subject VARCHAR(512), 
	disabled BOOLEAN NOT NULL, 
	failures INTEGER NOT NULL, 
	locked_until BIGINT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_user_account PRIMARY KEY (id), 
	CONSTRAINT uq_user_account_email UNIQUE (email), 
	CONSTRAINT uq_user_account_oidc_subject UNIQUE (oidc_subject)
);
CREATE INDEX ix_audit_entry_organisation_id ON audit_entry (organisation_id);
CREATE INDEX ix_log_line_at ON log_line (at);
CREATE INDEX ix_log_line_device ON log_line (device_id, id);
CREATE INDEX ix_point_at ON point (at);
CREATE INDEX ix_point_series_at ON point (series_id, at);
CREATE INDEX ix_alarm_rule_organisation_id ON alarm_rule (organisation_id);
CREATE INDEX ix_api_token_organisation_id ON api_token (organisation_id);
CREATE INDEX ix_device_group_organisation_id ON device_group (organisation_id);
CREATE INDEX ix_overlay_organisation_id ON overlay (organisation_id);
CREATE INDEX ix_preauthorised_key_organisation_id ON preauthorised_key (organisation_id);
CREATE INDEX ix_release_organisation_id ON release (organisation_id);
CREATE INDEX ix_device_organisation_id ON device (organisation_id);
CREATE INDEX ix_device_organisation_status ON device (organisation_id, status);
CREATE INDEX ix_membership_organisation_id ON membership (organisation_id);
CREATE INDEX ix_release_artifact_sha256 ON release_artifact (sha256);
CREATE INDEX ix_rollout_organisation_id ON rollout (organisation_id);
CREATE INDEX ix_rollout_state ON rollout (state);
CREATE INDEX ix_alarm_device ON alarm (device_id);
CREATE INDEX ix_device_event_device ON device_event (device_id, id);
CREATE INDEX ix_rollout_device_device ON rollout_device (device_id);
COMMIT;
