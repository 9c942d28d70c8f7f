CREATE TABLE "udm_sync"."adoptions" (
	"definition" text PRIMARY KEY NOT NULL,
	"since" timestamp (3) with time zone NOT NULL,
	"last_look_at" timestamp (3) with time zone,
	"next_look_at" timestamp (3) with time zone NOT NULL,
	"matched" integer DEFAULT 0 NOT NULL,
	"in_progress" integer DEFAULT 0 NOT NULL,
	"waiting" integer DEFAULT 0 NOT NULL,
	"reason" text
);
--> statement-breakpoint
ALTER TABLE "udm_sync"."runs" DROP CONSTRAINT "runs_origin";--> statement-breakpoint
DROP INDEX "udm_sync"."runs_definition_window";--> statement-breakpoint
ALTER TABLE "udm_sync"."files" ADD COLUMN "expiry_raised" text;--> statement-breakpoint
ALTER TABLE "udm_sync"."runs" ADD COLUMN "adopted_entry" text;--> statement-breakpoint
CREATE INDEX "exports_tenant_history" ON "udm_sync"."exports" USING btree ("tenant","upstream_history_id");--> statement-breakpoint
CREATE INDEX "exports_tenant_job" ON "udm_sync"."exports" USING btree ("tenant","upstream_job_id");--> statement-breakpoint
CREATE INDEX "files_verified" ON "udm_sync"."files" USING btree ("verified_at","size") WHERE verified_at is not null;--> statement-breakpoint
CREATE INDEX "files_name" ON "udm_sync"."files" USING btree ("name" text_pattern_ops);--> statement-breakpoint
CREATE INDEX "history_troubles" ON "udm_sync"."history" USING btree ("at") WHERE to_state in ('failed', 'dead', 'lost', 'vanished') or (from_state = 'transferring' and to_state = 'waiting');--> statement-breakpoint
CREATE UNIQUE INDEX "runs_adopted_entry" ON "udm_sync"."runs" USING btree ("tenant","adopted_entry") WHERE adopted_entry is not null;--> statement-breakpoint
CREATE INDEX "runs_definition_window_from" ON "udm_sync"."runs" USING btree ("definition","window_from");--> statement-breakpoint
CREATE UNIQUE INDEX "runs_definition_window" ON "udm_sync"."runs" USING btree ("definition","window_from") WHERE origin <> 'adopt';--> statement-breakpoint
ALTER TABLE "udm_sync"."files" ADD CONSTRAINT "files_expiry_raised" CHECK (expiry_raised in ('warning', 'critical'));--> statement-breakpoint
ALTER TABLE "udm_sync"."runs" ADD CONSTRAINT "runs_adopted" CHECK ((origin = 'adopt') = (adopted_entry is not null));--> statement-breakpoint
ALTER TABLE "udm_sync"."runs" ADD CONSTRAINT "runs_adopted_makes_no_job" CHECK (origin <> 'adopt' or state not in ('planned', 'creating', 'exporting', 'cancelling'));--> statement-breakpoint
ALTER TABLE "udm_sync"."runs" ADD CONSTRAINT "runs_origin" CHECK (origin in ('schedule', 'backfill', 'adopt'));
--> statement-breakpoint
COMMENT ON TABLE udm_sync.runs IS 'One row for each window of a definition, or for each history entry that a definition adopts; the state of its export';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.runs.window_from IS 'Start of the window, included; of an adopted entry, when the entry was made';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.runs.window_to IS 'End of the window, excluded; of an adopted entry, a millisecond after window_from';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.runs.origin IS 'What planned it: schedule (also udm-sync run), backfill, or adopt (people''s job made the export)';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.runs.adopted_entry IS 'Id of the history entry it collects, of a job that people made; empty for jobs of ours';--> statement-breakpoint
COMMENT ON TABLE udm_sync.adoptions IS 'One row for each definition that adopts people''s jobs';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.adoptions.definition IS 'Name of the definition in the config';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.adoptions.since IS 'Entries made before are left alone: adopt.since, or 30 days before the first look';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.adoptions.last_look_at IS 'When the upstream''s history was last read to its end';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.adoptions.next_look_at IS 'When it is looked at next, by whichever worker comes first';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.adoptions.matched IS 'Entries that matched at the last look, known ones included';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.adoptions.in_progress IS 'Of these, entries that had not finished';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.adoptions.waiting IS 'Of these, finished ones that wait for their turn (adopt.catchUp)';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.adoptions.reason IS 'Why the latest look failed; empty after one that succeeded';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.exports.marker IS 'The word in the upstream job''s title that finds it again; adopted:<tenant>:<entry> for an adopted entry, which no title has';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.exports.request IS 'The body sent to POST /v10/export/jobs; of an adopted entry, what the upstream said of it';--> statement-breakpoint
COMMENT ON COLUMN "udm_sync"."files"."expiry_raised" IS 'warning or critical: the last level of nearness to expires_at that was told (retention in the config); null for none';
