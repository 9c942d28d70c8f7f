CREATE SCHEMA "udm_sync";
--> statement-breakpoint
CREATE TABLE "udm_sync"."exports" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"run_id" bigint NOT NULL,
	"tenant" text NOT NULL,
	"attempt" integer NOT NULL,
	"marker" text NOT NULL,
	"state" text DEFAULT 'intended' NOT NULL,
	"request" jsonb NOT NULL,
	"upstream_job_id" text,
	"upstream_history_id" text,
	"status_word" text,
	"progress" integer,
	"create_tries" integer DEFAULT 0 NOT NULL,
	"create_sent_at" timestamp (3) with time zone,
	"polls" integer DEFAULT 0 NOT NULL,
	"absent_polls" integer DEFAULT 0 NOT NULL,
	"absent_since" timestamp (3) with time zone,
	"listings" integer DEFAULT 0 NOT NULL,
	"reason" text,
	"intended_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"created_at" timestamp (3) with time zone,
	"last_polled_at" timestamp (3) with time zone,
	"finished_at" timestamp (3) with time zone,
	CONSTRAINT "exports_marker_unique" UNIQUE("marker"),
	CONSTRAINT "exports_state" CHECK (state in ('intended', 'created', 'completed', 'failed', 'cancelled', 'vanished'))
);
--> statement-breakpoint
CREATE TABLE "udm_sync"."files" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"run_id" bigint NOT NULL,
	"export_id" bigint NOT NULL,
	"tenant" text NOT NULL,
	"name" text NOT NULL,
	"key" text NOT NULL,
	"state" text DEFAULT 'waiting' NOT NULL,
	"announced_size" bigint,
	"size" bigint,
	"crc32" text,
	"etag" text,
	"source_etag" text,
	"proof" text,
	"attempts" integer DEFAULT 0 NOT NULL,
	"holdups" integer DEFAULT 0 NOT NULL,
	"claim" text,
	"reason" text,
	"created_upstream_at" timestamp (3) with time zone,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"found_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"transfer_started_at" timestamp (3) with time zone,
	"verified_at" timestamp (3) with time zone,
	"deleted_at" timestamp (3) with time zone,
	CONSTRAINT "files_state" CHECK (state in ('waiting', 'transferring', 'verified', 'deleted', 'dead', 'lost')),
	CONSTRAINT "files_proof" CHECK (proof in ('size', 'checksum', 'read')),
	CONSTRAINT "files_verified_is_proven" CHECK (state not in ('verified', 'deleted') or (verified_at is not null and size is not null and crc32 is not null and proof is not null)),
	CONSTRAINT "files_deleted_after_verified" CHECK (deleted_at is null or (verified_at is not null and verified_at <= deleted_at))
);
--> statement-breakpoint
CREATE TABLE "udm_sync"."history" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"run_id" bigint NOT NULL,
	"file_id" bigint,
	"subject" text NOT NULL,
	"from_state" text,
	"to_state" text NOT NULL,
	"who" text NOT NULL,
	"reason" text,
	CONSTRAINT "history_subject" CHECK (subject in ('run', 'export', 'file'))
);
--> statement-breakpoint
CREATE TABLE "udm_sync"."parts" (
	"upload_id" bigint NOT NULL,
	"number" integer NOT NULL,
	"size" bigint NOT NULL,
	"etag" text NOT NULL,
	"crc32" text NOT NULL,
	CONSTRAINT "parts_upload_id_number_pk" PRIMARY KEY("upload_id","number")
);
--> statement-breakpoint
CREATE TABLE "udm_sync"."runs" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"definition" text NOT NULL,
	"tenant" text NOT NULL,
	"sink" text NOT NULL,
	"window_from" timestamp (3) with time zone NOT NULL,
	"window_to" timestamp (3) with time zone NOT NULL,
	"origin" text NOT NULL,
	"state" text DEFAULT 'planned' NOT NULL,
	"attempt" integer DEFAULT 0 NOT NULL,
	"failures" integer DEFAULT 0 NOT NULL,
	"step_failures" integer DEFAULT 0 NOT NULL,
	"step_faults" integer DEFAULT 0 NOT NULL,
	"reason" text,
	"sink_uri" text,
	"manifest_key" text,
	"cancel_requested_at" timestamp (3) with time zone,
	"next_step_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"finished_at" timestamp (3) with time zone,
	CONSTRAINT "runs_window" CHECK (window_from < window_to),
	CONSTRAINT "runs_state" CHECK (state in ('planned', 'creating', 'exporting', 'cancelling', 'collecting', 'transferring', 'stored', 'done', 'failed', 'cancelled')),
	CONSTRAINT "runs_origin" CHECK (origin in ('schedule', 'backfill'))
);
--> statement-breakpoint
CREATE TABLE "udm_sync"."schedules" (
	"definition" text PRIMARY KEY NOT NULL,
	"cron" text NOT NULL,
	"time_zone" text NOT NULL,
	"last_tick_at" timestamp (3) with time zone NOT NULL,
	"next_tick_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "udm_sync"."uploads" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"file_id" bigint NOT NULL,
	"sink" text NOT NULL,
	"upload" jsonb NOT NULL,
	"part_size" bigint NOT NULL,
	"length" bigint NOT NULL,
	"source_etag" text NOT NULL,
	"begun_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "uploads_file_id_unique" UNIQUE("file_id")
);
--> statement-breakpoint
ALTER TABLE "udm_sync"."exports" ADD CONSTRAINT "exports_run_id_runs_id_fk" FOREIGN KEY ("run_id") REFERENCES "udm_sync"."runs"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "udm_sync"."files" ADD CONSTRAINT "files_run_id_runs_id_fk" FOREIGN KEY ("run_id") REFERENCES "udm_sync"."runs"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "udm_sync"."files" ADD CONSTRAINT "files_export_id_exports_id_fk" FOREIGN KEY ("export_id") REFERENCES "udm_sync"."exports"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "udm_sync"."history" ADD CONSTRAINT "history_run_id_runs_id_fk" FOREIGN KEY ("run_id") REFERENCES "udm_sync"."runs"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "udm_sync"."parts" ADD CONSTRAINT "parts_upload_id_uploads_id_fk" FOREIGN KEY ("upload_id") REFERENCES "udm_sync"."uploads"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "udm_sync"."uploads" ADD CONSTRAINT "uploads_file_id_files_id_fk" FOREIGN KEY ("file_id") REFERENCES "udm_sync"."files"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "exports_one_live_per_run" ON "udm_sync"."exports" USING btree ("run_id") WHERE state in ('intended', 'created');--> statement-breakpoint
CREATE UNIQUE INDEX "exports_run_attempt" ON "udm_sync"."exports" USING btree ("run_id","attempt");--> statement-breakpoint
CREATE INDEX "exports_live_by_tenant" ON "udm_sync"."exports" USING btree ("tenant") WHERE state in ('intended', 'created');--> statement-breakpoint
CREATE UNIQUE INDEX "files_export_name" ON "udm_sync"."files" USING btree ("export_id","name");--> statement-breakpoint
CREATE INDEX "files_run" ON "udm_sync"."files" USING btree ("run_id");--> statement-breakpoint
CREATE INDEX "files_tenant_name" ON "udm_sync"."files" USING btree ("tenant","name");--> statement-breakpoint
CREATE INDEX "files_claim" ON "udm_sync"."files" USING btree ("claim") WHERE claim is not null;--> statement-breakpoint
CREATE INDEX "files_transferring" ON "udm_sync"."files" USING btree ("tenant") WHERE state = 'transferring';--> statement-breakpoint
CREATE INDEX "files_expiring" ON "udm_sync"."files" USING btree ("expires_at") WHERE state in ('waiting', 'transferring', 'dead');--> statement-breakpoint
CREATE INDEX "history_run" ON "udm_sync"."history" USING btree ("run_id","id");--> statement-breakpoint
CREATE UNIQUE INDEX "runs_manifest" ON "udm_sync"."runs" USING btree ("sink","manifest_key");--> statement-breakpoint
CREATE UNIQUE INDEX "runs_definition_window" ON "udm_sync"."runs" USING btree ("definition","window_from");--> statement-breakpoint
CREATE INDEX "runs_definition_window_to" ON "udm_sync"."runs" USING btree ("definition","window_to");--> statement-breakpoint
CREATE INDEX "runs_failed" ON "udm_sync"."runs" USING btree ("definition","window_from") WHERE state = 'failed';--> statement-breakpoint
CREATE INDEX "runs_unfinished" ON "udm_sync"."runs" USING btree ("definition","state") WHERE state not in ('done', 'cancelled', 'failed');