// Package objstoretest holds what tests of object storage share: the test that
// accepts a store, a Store on the embedded engine, and a transport that breaks
// requests the ways networks and stores do.
package objstoretest
