// The pages that few visits need. They come as one file when the first of them
// is asked for: together they pack a sixth smaller than each by itself.
export { AnomaliesPage } from "./anomalies";
export { CatalogPage } from "./catalog";
export { DeadLettersPage } from "./dead-letters";
export { NewReplayPage } from "./replay-new";
export { Scanned } from "./scan";
