CREATE TABLE "udm_sync"."notices" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"webhook" text NOT NULL,
	"identity" text NOT NULL,
	"kind" text NOT NULL,
	"definition" text NOT NULL,
	"tenant" text NOT NULL,
	"run_id" bigint,
	"window_from" timestamp (3) with time zone,
	"window_to" timestamp (3) with time zone,
	"file" text,
	"reason" text,
	"happened_at" timestamp (3) with time zone NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"message" text,
	"attempts" integer DEFAULT 0 NOT NULL,
	"sent_at" timestamp (3) with time zone,
	"given_up_at" timestamp (3) with time zone,
	"over_at" timestamp (3) with time zone,
	CONSTRAINT "notices_kind" CHECK (kind in ('run-failed', 'gap', 'expiry-warning', 'expiry-critical', 'file-dead', 'file-lost', 'recovered'))
);
--> statement-breakpoint
CREATE TABLE "udm_sync"."webhooks" (
	"name" text PRIMARY KEY NOT NULL,
	"since" timestamp (3) with time zone NOT NULL,
	"scanned_until" timestamp (3) with time zone NOT NULL,
	"claim" text,
	"claimed_until" timestamp (3) with time zone,
	"last_sent_at" timestamp (3) with time zone,
	"failures" integer DEFAULT 0 NOT NULL,
	"next_try_at" timestamp (3) with time zone,
	"reason" text
);
--> statement-breakpoint
CREATE UNIQUE INDEX "notices_identity" ON "udm_sync"."notices" USING btree ("webhook","identity");--> statement-breakpoint
CREATE INDEX "notices_unsent" ON "udm_sync"."notices" USING btree ("webhook","id") WHERE sent_at is null and given_up_at is null;--> statement-breakpoint
CREATE INDEX "notices_open" ON "udm_sync"."notices" USING btree ("webhook","run_id") WHERE over_at is null;--> statement-breakpoint
CREATE INDEX "notices_created" ON "udm_sync"."notices" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "history_said" ON "udm_sync"."history" USING btree ("at") WHERE subject = 'run' and from_state = to_state;
--> statement-breakpoint
COMMENT ON TABLE udm_sync.webhooks IS 'One row for each webhook of the config (notifications): how far history was read for it, and who sends to it now';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.webhooks.name IS 'Its name in the config; its URL is a secret and in no table';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.webhooks.since IS 'When it was first seen: nothing before is told';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.webhooks.scanned_until IS 'Until when history was read for it; the last five minutes are read again, for transactions that committed late';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.webhooks.claim IS 'The process that sends to it now';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.webhooks.claimed_until IS 'After that, the process is taken for dead and another sends the message again';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.webhooks.last_sent_at IS 'When a message last arrived';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.webhooks.failures IS 'Attempts that failed since one last succeeded';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.webhooks.next_try_at IS 'When the next attempt is due after one that failed';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.webhooks.reason IS 'Why the last attempt failed; empty after one that succeeded';--> statement-breakpoint
COMMENT ON TABLE udm_sync.notices IS 'One row for each thing that a webhook is to be told, or was; kept for 30 days';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.id IS 'Number of the notice';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.webhook IS 'Name of the webhook';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.identity IS 'What it speaks of, so that none is noted twice: history:<id of the line>, gap:<definition>:<time>, recovered:<id of the notice>';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.kind IS 'What happened, as notifications.<name>.on names it';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.definition IS 'Name of the definition';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.tenant IS 'Name of the tenant';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.run_id IS 'The run; empty for what belongs to a definition as a whole';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.window_from IS 'Start of the window of the run, included';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.window_to IS 'End of the window of the run, excluded';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.file IS 'Name of the file, if it is about one';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.reason IS 'Why, as history has it';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.happened_at IS 'When it happened';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.created_at IS 'When it was noted';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.message IS 'Id of the message that tells it, the same at every attempt; empty while it waits for one';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.attempts IS 'How often that message was sent';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.sent_at IS 'When the message arrived';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.given_up_at IS 'When it was given up, after notifications.<name>.giveUpAfter';--> statement-breakpoint
COMMENT ON COLUMN udm_sync.notices.over_at IS 'When what it tells was over: the run is done or cancelled, the definition no longer overdue';
