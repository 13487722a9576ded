package guest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/occid/occid/internal/guest"
)

// BenchmarkAnswers takes what a guest asks through the gate, without the network.
func BenchmarkAnswers(b *testing.B) {
	w := twins(b)
	gate := &guest.Gate{Answerer: w.handler, Key: key, Logger: quiet()}
	for name, path := range map[string]string{"ec2": "/latest/meta-data/instance-id", "openstack": "/openstack/latest/meta_data.json",
		"nocloud": "/nocloud/user-data", "json": "/.json"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, "http://169.254.169.254"+path, nil)
				key.Sign(r, nil, peerOne, time.Now())
				rec := httptest.NewRecorder()
				if gate.ServeHTTP(rec, r); rec.Code != http.StatusOK {
					b.Fatal(rec.Code)
				}
			}
		})
	}
}
