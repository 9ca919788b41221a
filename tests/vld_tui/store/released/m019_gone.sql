BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'vld','m001_runs','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'vld','m002_kept_runs','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'vld','m003_queue','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'vld','m004_series','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(5,'vld','m005_best_first','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(6,'vld','m006_arms','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(7,'vld','m007_images','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(8,'vld','m008_lost_runs','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(9,'vld','m009_jobs','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(10,'vld','m010_gpus','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(11,'vld','m011_damage','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(12,'vld','m012_recovered','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(13,'vld','m013_no_target','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(14,'vld','m014_evaluation_precision','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(15,'vld','m015_measures','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(16,'vld','m016_preset_data','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(17,'vld','m017_notifications','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(18,'vld','m018_phase','2026-01-01 00:00:00+00:00');
INSERT INTO "_sqlite_migrations" VALUES(19,'vld','m019_gone','2026-01-01 00:00:00+00:00');
CREATE TABLE arms (
        run INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
        arm TEXT NOT NULL,             -- other than the run's own
        selected_step INTEGER NOT NULL,
        id_accuracy REAL NOT NULL,
        ood_accuracy REAL,
        domains TEXT NOT NULL, measures TEXT NOT NULL DEFAULT '{}',         -- JSON: accuracy by domain
        PRIMARY KEY (run, arm)
    ) WITHOUT ROWID
;
INSERT INTO "arms" VALUES(1,'averaged',20,0.8,0.3,'{}','{}');
INSERT INTO "arms" VALUES(2,'averaged',10,0.75,NULL,'{}','{}');
CREATE TABLE attempts (
        run INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
        attempt INTEGER NOT NULL,
        started_at REAL NOT NULL,
        resumed_step INTEGER,
        pid INTEGER NOT NULL,
        host TEXT NOT NULL,
        versions TEXT NOT NULL,        -- JSON
        code_commit TEXT,
        ended_at REAL,
        outcome TEXT,
        step INTEGER,
        reason TEXT,
        PRIMARY KEY (run, attempt)
    ) WITHOUT ROWID
;
INSERT INTO "attempts" VALUES(1,1,5.0,NULL,7,'here','{}',NULL,NULL,'finished',20,NULL);
CREATE TABLE checkpoints (
        run INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        step INTEGER NOT NULL,
        file TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (run, kind)
    ) WITHOUT ROWID
;
INSERT INTO "checkpoints" VALUES(1,'best',10,'checkpoints/best.safetensors',1000);
CREATE TABLE notifications (
        notification INTEGER PRIMARY KEY AUTOINCREMENT,
        subject TEXT NOT NULL UNIQUE,  -- what happened: it is sent once
        event TEXT NOT NULL,           -- a word of notify.on
        run_id TEXT,                   -- of an event of a run
        study TEXT,                    -- of an event of a study
        happened_at REAL NOT NULL,
        status TEXT NOT NULL DEFAULT 'due' CHECK (status IN ('due', 'sent', 'failed', 'dropped')),
        sender TEXT,                   -- what is sending it, if anything
        tries INTEGER NOT NULL DEFAULT 0,
        done_at REAL,
        problem TEXT,
        is_reported INTEGER NOT NULL DEFAULT 0
    );
CREATE TABLE runs (
        key INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice
        run_id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        tags TEXT NOT NULL,            -- separated by spaces
        note TEXT NOT NULL,
        created_at REAL NOT NULL,      -- Unix seconds, as all times
        trashed_at REAL,
        spec TEXT NOT NULL,            -- JSON, every field
        arm TEXT NOT NULL,
        target TEXT,
        launched_at REAL NOT NULL,     -- when it was last given to a process
        past_process TEXT,             -- pid and start time of the one it had before
        status TEXT NOT NULL CHECK (status IN
            ('queued', 'starting', 'running', 'finished', 'stopped', 'failed', 'crashed')),
        error TEXT,
        exit_code INTEGER,
        collapsed_step INTEGER,
        step INTEGER NOT NULL DEFAULT 0,
        selected_step INTEGER,
        id_accuracy REAL,
        ood_accuracy REAL,
        domains TEXT NOT NULL DEFAULT '{}',  -- JSON: accuracy by domain
        loss REAL,
        steps_per_s REAL,
        images_per_s REAL,
        seconds_left REAL,
        wall_s REAL,
        pid INTEGER,
        host TEXT,
        precision TEXT,
        memory_format TEXT,
        device TEXT,
        attempts INTEGER NOT NULL DEFAULT 0,
        last_event_at REAL,
        last_seq INTEGER NOT NULL DEFAULT -1,
        events_offset INTEGER NOT NULL DEFAULT 0,
        damaged_lines INTEGER NOT NULL DEFAULT 0
    , queue_position REAL, queue_held INTEGER NOT NULL DEFAULT 0, gpu TEXT, combination TEXT, identity TEXT, configuration TEXT, data_digest TEXT NOT NULL DEFAULT '', job TEXT, job_state TEXT, job_reason TEXT, job_node TEXT, job_open INTEGER NOT NULL DEFAULT 0, damage TEXT, recovered_step INTEGER, evaluation_precision TEXT, measures TEXT NOT NULL DEFAULT '{}', phase TEXT, gone INTEGER NOT NULL DEFAULT 0);
INSERT INTO "runs" VALUES(1,'250101-000000-aaaa','told','a b','it''s a note',1.0,NULL,'{"dataset":"emoji","data_dir":null,"target":"fluent-mono","held_out_source":null,"image_size":96,"batch_size":16,"micro_batch_size":null,"transforms":"batch","validation_fraction":0.2,"trial_seed":null,"skip_bad_images":false,"model":"tf_efficientnet_lite0","weights":"pretrained","freeze_batchnorm":true,"tuning":"full","objective":"erm","dropout_rate":0.9,"masks":8,"head_steps":1000,"head_lr_factor":1.0,"scale_head_lr":true,"steps":200,"optimizer":"adamw","lr":0.0003,"momentum":0.9,"weight_decay":0.0001,"schedule":"cosine","lr_drops":[],"warmup_steps":20,"grad_clip":null,"arms":[],"average_from":1,"average_every":1,"average_batchnorm":"average","eval_every":50,"log_every":10,"eval_batch_size":32,"seed":3,"device":"auto","gpus":1,"nodes":1,"precision":"auto","memory_format":"auto","threads":null,"keep_checkpoints":"all","recipe":"default"}','dropout','fluent-mono',5.0,NULL,'finished',NULL,NULL,NULL,20,10,0.75,0.25,'{"noto":0.5}',1.5,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,-1,0,0,NULL,0,'0',NULL,'66c8c9db5dd3e0ca','145c9d6014d29ad2','',NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,'{}',NULL,0);
INSERT INTO "runs" VALUES(2,'250102-000000-bbbb','thrown','a b','it''s a note',2.0,9.0,'{"dataset":"emoji","data_dir":null,"target":"fluent-mono","held_out_source":null,"image_size":96,"batch_size":16,"micro_batch_size":null,"transforms":"batch","validation_fraction":0.2,"trial_seed":null,"skip_bad_images":false,"model":"tf_efficientnet_lite0","weights":"pretrained","freeze_batchnorm":true,"tuning":"full","objective":"erm","dropout_rate":0.9,"masks":8,"head_steps":1000,"head_lr_factor":1.0,"scale_head_lr":true,"steps":200,"optimizer":"adamw","lr":0.0003,"momentum":0.9,"weight_decay":0.0001,"schedule":"cosine","lr_drops":[],"warmup_steps":20,"grad_clip":null,"arms":[],"average_from":1,"average_every":1,"average_batchnorm":"average","eval_every":50,"log_every":10,"eval_batch_size":32,"seed":3,"device":"auto","gpus":1,"nodes":1,"precision":"auto","memory_format":"auto","threads":null,"keep_checkpoints":"all","recipe":"default"}','dropout','fluent-mono',5.0,NULL,'failed',NULL,NULL,NULL,20,10,0.75,0.25,'{"noto":0.5}',1.5,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,-1,0,0,NULL,0,NULL,NULL,'66c8c9db5dd3e0ca','145c9d6014d29ad2','',NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,'{}',NULL,0);
CREATE TABLE series (
        run INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
        name TEXT NOT NULL,
        split TEXT NOT NULL,
        domain TEXT NOT NULL,          -- '': ID accuracy in split out, OOD accuracy in split in
        arm TEXT NOT NULL,
        first_step INTEGER NOT NULL,
        steps BLOB NOT NULL,           -- int64, ascending, those of later rows higher
        readings BLOB NOT NULL,        -- float64, one for each step; NaN: not finite
        PRIMARY KEY (run, name, split, domain, arm, first_step)
    ) WITHOUT ROWID
;
INSERT INTO "series" VALUES(1,'accuracy','in','','dropout',10,X'0A00000000000000',X'000000000000D03F');
INSERT INTO "series" VALUES(1,'accuracy','out','','dropout',10,X'0A00000000000000',X'000000000000E83F');
INSERT INTO "series" VALUES(1,'loss','train','sources','dropout',10,X'0A000000000000001400000000000000',X'0000000000000040000000000000F83F');
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "settings" VALUES('slots','2');
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX runs_by_creation ON runs (created_at);
CREATE INDEX runs_by_name ON runs (name);
CREATE INDEX live_runs ON runs (key) WHERE status IN ('starting', 'running');
CREATE INDEX kept_runs ON runs (created_at, key) WHERE trashed_at IS NULL;
CREATE INDEX queued_runs ON runs (queue_position) WHERE status = 'queued';
CREATE INDEX kept_runs_by_ood_accuracy ON runs (ood_accuracy, created_at, key) WHERE trashed_at IS NULL;
CREATE INDEX kept_runs_by_id_accuracy ON runs (id_accuracy, created_at, key) WHERE trashed_at IS NULL;
CREATE INDEX runs_by_identity ON runs (identity);
CREATE INDEX runs_by_configuration ON runs (configuration);
CREATE INDEX lost_runs ON runs (created_at) WHERE status = 'crashed' AND exit_code IS NULL;
CREATE INDEX open_jobs ON runs (job) WHERE job_open = 1;
CREATE INDEX due_notifications ON notifications (notification) WHERE status = 'due';
CREATE INDEX gone_runs ON runs (key) WHERE gone = 1;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('runs',2);
COMMIT;
PRAGMA user_version = 19;
