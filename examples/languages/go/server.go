// A model in Go, of the standard library alone, that speaks MLflow's scoring protocol: the median price of a square metre in
// the district, times the size.
package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"sort"
	"strconv"
)

// What is asked: rows of values in the order of the columns.
type asked struct {
	Frame struct {
		Columns []string `json:"columns"`
		Data    [][]any  `json:"data"`
	} `json:"dataframe_split"`
}

// The median price of a square metre, by district.
func train(path string) (map[string]float64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, err
	}
	prices := map[string][]float64{}
	for _, row := range rows[1:] {
		size, err := strconv.ParseFloat(row[0], 64)
		if err != nil {
			return nil, err
		}
		price, err := strconv.ParseFloat(row[3], 64)
		if err != nil {
			return nil, err
		}
		prices[row[2]] = append(prices[row[2]], price/size)
	}
	medians := map[string]float64{}
	for district, all := range prices {
		sort.Float64s(all)
		medians[district] = (all[(len(all)-1)/2] + all[len(all)/2]) / 2
	}
	return medians, nil
}

func main() {
	medians, err := train("flats.csv")
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/ping", func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprintln(answer) })
	http.HandleFunc("/invocations", func(answer http.ResponseWriter, request *http.Request) {
		var rows asked
		if err := json.NewDecoder(request.Body).Decode(&rows); err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
			return
		}
		predictions := []float64{}
		for _, row := range rows.Frame.Data {
			flat := map[string]any{}
			for at, value := range row {
				flat[rows.Frame.Columns[at]] = value
			}
			size, _ := flat["size"].(float64)
			district, _ := flat["district"].(string)
			price, known := medians[district]
			if !known {
				// 400: the row is to blame, not the model, so that it counts as no error of the version.
				http.Error(answer, fmt.Sprintf("no such district: %q", district), http.StatusBadRequest)
				return
			}
			predictions = append(predictions, price*size)
		}
		answer.Header().Set("content-type", "application/json")
		json.NewEncoder(answer).Encode(map[string]any{"predictions": predictions})
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
