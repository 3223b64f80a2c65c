// Short names for the generated types of schema/openapi.yaml.
import type { components } from "./schema.gen";

type S = components["schemas"];

export type ProblemBody = S["Problem"];
export type Searched = S["Searched"];
export type SearchTerm = S["SearchTerm"];
export type ScanLine = S["ScanLine"];
export type ScanProgress = S["ScanProgress"];
export type ScanEnd = S["ScanEnd"];
export type Status = S["Status"];
export type Coordinates = S["Coordinates"];
export type Hit = S["Hit"];
export type Identification = S["Identification"];
export type Edge = S["Edge"];
export type Outside = S["Outside"];
export type Change = S["Change"];
export type Diff = S["Diff"];
export type Hop = S["Hop"];
export type Trace = S["Trace"];
export type RecordPage = S["RecordPage"];
export type Bytes = S["Bytes"];
export type HeaderField = S["HeaderField"];
export type ArchivedRecord = S["Record"];
export type TopicSummary = S["TopicSummary"];
export type TopicList = S["TopicList"];
export type PartitionCoverage = S["PartitionCoverage"];
export type Coverage = S["Coverage"];
export type DeadLetter = S["DeadLetter"];
export type DeadLetterCount = S["DeadLetterCount"];
export type DeadLetterPage = S["DeadLetterPage"];
export type SealResult = S["SealResult"];
export type ReplayRequest = S["ReplayRequest"];
export type ReplayPlan = S["ReplayPlan"];
export type ReplayJob = S["ReplayJob"];
export type ReplayList = S["ReplayList"];
export type Receipt = S["Receipt"];
export type ExportRequest = S["ExportRequest"];
